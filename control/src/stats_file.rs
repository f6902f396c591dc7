//! The counters as one JSON document, replaced as a whole so that a reader never sees half of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dpdk::{Port, PortStats, Running};
use engine::CoreStats;
use serde_json::{Map, Value, json};

use crate::asks::AsksReadings;
use crate::memory::MemoryUse;
use crate::reload::ReloadReadings;

/// The counters of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreReadings<'a> {
    /// The core.
    pub(crate) core: usize,
    /// Its worker's block.
    pub(crate) stats: &'a CoreStats,
    /// Requests it answered 503 for want of a form.
    pub(crate) forms_refused: u64,
}

/// What is below the workers: the ports of the process together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NicReadings {
    /// What the drivers count.
    pub(crate) ports: PortStats,
    /// Packet buffers in all.
    pub(crate) mbufs: u64,
    /// Of those, buffers that nobody holds.
    pub(crate) mbufs_free: u64,
    /// Frames that the kernel dropped before our queues, where a kernel interface is below: its
    /// AF_XDP driver does not count a full ring itself.
    pub(crate) kernel_rx_dropped: u64,
}

impl NicReadings {
    /// Adds what `port` says. A driver that keeps no counters adds none.
    pub(crate) fn add(&mut self, port: &Port<Running>) {
        let stats = port.stats().unwrap_or_default();
        self.ports.rx_frames += stats.rx_frames;
        self.ports.rx_octets += stats.rx_octets;
        self.ports.tx_frames += stats.tx_frames;
        self.ports.tx_octets += stats.tx_octets;
        self.ports.rx_missed += stats.rx_missed;
        self.ports.rx_errors += stats.rx_errors;
        self.ports.rx_no_buffer += stats.rx_no_buffer;
        self.ports.tx_errors += stats.tx_errors;
        self.mbufs += u64::from(port.pool().size());
        self.mbufs_free += u64::from(port.pool().available());
        self.kernel_rx_dropped += port.interface().map_or(0, kernel_drops);
    }
}

/// What the kernel says it dropped on the way in from `interface`.
fn kernel_drops(interface: &str) -> u64 {
    let path = format!("/sys/class/net/{interface}/statistics/rx_dropped");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The document: `cores` (one object each: `core`, then every counter by name), `total` (their
/// sums), `nic` (the ports' own and their buffers), `memory` (`resident_octets`, `hugepages_octets`),
/// `asks` (what is answered beside the cores) and `reload`.
pub(crate) fn document(
    cores: &[CoreReadings<'_>],
    nic: &NicReadings,
    memory: MemoryUse,
    asks: &AsksReadings,
    reload: ReloadReadings,
) -> Value {
    let NicReadings { ports, mbufs, mbufs_free, kernel_rx_dropped } = nic;
    let mut total = Map::new();
    let mut each = Vec::new();
    for CoreReadings { core, stats, forms_refused } in cores {
        let mut object = Map::new();
        object.insert("core".into(), json!(core));
        let counted = stats.readings().map(|reading| (reading.name, reading.value));
        for (name, value) in counted.chain([("forms_refused", *forms_refused)]) {
            object.insert(name.into(), json!(value));
            let sum = total.get(name).and_then(Value::as_u64).unwrap_or(0);
            total.insert(name.into(), json!(sum.wrapping_add(value)));
        }
        each.push(Value::Object(object));
    }
    json!({
        "cores": each,
        "total": total,
        "nic": {
            "rx_frames": ports.rx_frames,
            "rx_octets": ports.rx_octets,
            "tx_frames": ports.tx_frames,
            "tx_octets": ports.tx_octets,
            "rx_missed": ports.rx_missed,
            "rx_errors": ports.rx_errors,
            "rx_no_buffer": ports.rx_no_buffer,
            "tx_errors": ports.tx_errors,
            "mbufs": mbufs,
            "mbufs_free": mbufs_free,
            "kernel_rx_dropped": kernel_rx_dropped,
        },
        "memory": {
            "resident_octets": memory.resident,
            "hugepages_octets": memory.hugepages,
        },
        "asks": asks.document(),
        "reload": {
            "reloads": reload.reloads,
            "reloads_refused": reload.reloads_refused,
            "editions_retired": reload.editions_retired,
        },
    })
}

/// Replaces `path` by `document`.
///
/// # Errors
/// The directory is not writable, or the disk is full; the old document then stays.
pub(crate) fn replace(path: &Path, document: &Value) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    fs::write(&fresh, format!("{document:#}\n"))?;
    fs::rename(&fresh, path)
}

/// Counters of `stats` that are not zero, for the last line of the log.
pub(crate) fn spell_nonzero(document: &Value) -> String {
    let Some(total) = document["total"].as_object() else { return String::new() };
    let nonzero = total.iter().filter(|(_, value)| value.as_u64() != Some(0));
    nonzero.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_the_cores() {
        let (a, b) = (CoreStats::default(), CoreStats::default());
        a.requests.add(3);
        b.requests.add(4);
        b.connections_open.set(2);
        let of = |core, stats, forms_refused| CoreReadings { core, stats, forms_refused };
        let cores = [of(1, &a, 5), of(2, &b, 1)];
        let ports = PortStats { rx_missed: 7, ..PortStats::default() };
        let nic = NicReadings { ports, mbufs_free: 8, ..NicReadings::default() };
        let memory = MemoryUse { resident: 5, hugepages: 6 };
        let reload = ReloadReadings { reloads: 9, ..ReloadReadings::default() };
        let asks = AsksReadings::default();
        let document = document(&cores, &nic, memory, &asks, reload);
        assert_eq!(document["cores"][0]["core"], 1);
        assert_eq!(document["cores"][0]["requests"], 3);
        assert_eq!(document["cores"][1]["requests"], 4);
        assert_eq!(document["total"]["requests"], 7);
        assert_eq!(document["total"]["connections_open"], 2);
        assert_eq!(document["nic"]["rx_missed"], 7);
        assert_eq!(document["nic"]["mbufs_free"], 8);
        assert_eq!(document["memory"]["resident_octets"], 5);
        assert_eq!(document["reload"]["reloads"], 9);
        assert_eq!(spell_nonzero(&document), "connections_open=2 requests=7 forms_refused=6");
    }

    #[test]
    fn a_document_is_replaced_whole() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("stats.json");
        for round in 0..2 {
            replace(&path, &json!({ "round": round })).expect("writes");
            let text = fs::read_to_string(&path).expect("is there");
            let read: Value = serde_json::from_str(&text).expect("is JSON");
            assert_eq!(read["round"], round);
        }
        let entries = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(entries, 1, "nothing is left beside it");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        assert!(replace(Path::new("/nonexistent/stats.json"), &json!({})).is_err());
    }
}
