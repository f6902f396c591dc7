//! The counters as one JSON document, replaced as a whole so that a reader never sees half of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dpdk::PortStats;
use engine::CoreStats;
use serde_json::{Map, Value, json};

use crate::memory::MemoryUse;

/// The counters of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreReadings<'a> {
    /// The core.
    pub(crate) core: usize,
    /// Its worker's block.
    pub(crate) stats: &'a CoreStats,
}

/// The document: `cores` (one object each: `core`, then every counter by name), `total` (their
/// sums), `nic` (the port's own), `memory` (`resident_octets`, `hugepages_octets`).
pub(crate) fn document(cores: &[CoreReadings<'_>], nic: &PortStats, memory: MemoryUse) -> Value {
    let mut total = Map::new();
    let mut each = Vec::new();
    for CoreReadings { core, stats } in cores {
        let mut object = Map::new();
        object.insert("core".into(), json!(core));
        for reading in stats.readings() {
            object.insert(reading.name.into(), json!(reading.value));
            let sum = total.get(reading.name).and_then(Value::as_u64).unwrap_or(0);
            total.insert(reading.name.into(), json!(sum.wrapping_add(reading.value)));
        }
        each.push(Value::Object(object));
    }
    json!({
        "cores": each,
        "total": total,
        "nic": {
            "rx_frames": nic.rx_frames,
            "rx_octets": nic.rx_octets,
            "tx_frames": nic.tx_frames,
            "tx_octets": nic.tx_octets,
            "rx_missed": nic.rx_missed,
            "rx_errors": nic.rx_errors,
            "rx_no_buffer": nic.rx_no_buffer,
            "tx_errors": nic.tx_errors,
        },
        "memory": {
            "resident_octets": memory.resident,
            "hugepages_octets": memory.hugepages,
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
        let cores = [CoreReadings { core: 1, stats: &a }, CoreReadings { core: 2, stats: &b }];
        let nic = PortStats { rx_missed: 7, ..PortStats::default() };
        let memory = MemoryUse { resident: 5, hugepages: 6 };
        let document = document(&cores, &nic, memory);
        assert_eq!(document["cores"][0]["core"], 1);
        assert_eq!(document["cores"][0]["requests"], 3);
        assert_eq!(document["cores"][1]["requests"], 4);
        assert_eq!(document["total"]["requests"], 7);
        assert_eq!(document["total"]["connections_open"], 2);
        assert_eq!(document["nic"]["rx_missed"], 7);
        assert_eq!(document["memory"]["resident_octets"], 5);
        assert_eq!(spell_nonzero(&document), "connections_open=2 requests=7");
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
