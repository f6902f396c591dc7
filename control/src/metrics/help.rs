//! What each counter of a report means: from its declaration where it has one, else from here.

use std::borrow::Cow;

use engine::{CoreStats, Reading};

use crate::offload::OffloadReadings;

/// What the counters mean, by name.
#[derive(Debug)]
pub(super) struct Help {
    core: Vec<Reading>,
    offload: Vec<Reading>,
}

impl Help {
    /// Collects the declarations.
    pub(super) fn of_declarations() -> Self {
        let core = CoreStats::default().readings().collect();
        Self { core, offload: OffloadReadings::declared().collect() }
    }

    /// Of a counter of a core.
    pub(super) fn of_core(&self, counter: &str) -> Cow<'static, str> {
        declared(&self.core, counter).map_or_else(|| listed(CORE, counter), Cow::Borrowed)
    }

    /// Of a counter of what answers beside the cores.
    /// Several back ends share a wording, so it begins with whose it is.
    pub(super) fn of_offload(&self, counter: &str) -> Cow<'static, str> {
        let help = declared(&self.offload, counter).unwrap_or_default();
        let owner = OWNERS.iter().find(|(prefix, _)| counter.starts_with(prefix));
        owner.map_or(Cow::Borrowed(help), |(_, owner)| format!("{owner}: {help}").into())
    }
}

fn declared(readings: &[Reading], counter: &str) -> Option<&'static str> {
    readings.iter().find(|reading| reading.name == counter).map(|reading| reading.help)
}

/// Of a counter that is in one of the lists below.
pub(super) fn listed(list: &[(&str, &'static str)], counter: &str) -> Cow<'static, str> {
    list.iter().find(|(name, _)| *name == counter).map(|(_, help)| *help).unwrap_or_default().into()
}

const OWNERS: &[(&str, &str)] =
    &[("postgres_", "PostgreSQL"), ("sqlite_", "SQLite"), ("compress_", "compression")];

const CORE: &[(&str, &str)] = &[
    ("submission_ring", "requests in the submission ring now"),
    ("completion_ring", "completions in the completion ring now"),
    ("request_buffers_refused", "requests answered 503 because every request buffer was in use"),
    ("request_buffers_free", "request buffers that are free now"),
];

/// Counters of the ports.
pub(super) const NIC: &[(&str, &str)] = &[
    ("rx_frames", "frames that the driver received"),
    ("rx_bytes", "bytes of the frames that the driver received"),
    ("tx_frames", "frames that the driver sent"),
    ("tx_bytes", "bytes of the frames that the driver sent"),
    ("rx_missed", "frames lost because a receive queue was full"),
    ("rx_errors", "received frames with an error"),
    ("rx_no_buffer", "times the driver found no packet buffer to receive into"),
    ("tx_errors", "frames that could not be sent"),
    ("mbufs", "packet buffers in all"),
    ("mbufs_free", "packet buffers that nobody holds now"),
    ("kernel_rx_dropped", "frames that the kernel dropped on its interface below ours"),
];

/// Numbers of memory.
pub(super) const MEMORY: &[(&str, &str)] = &[
    ("resident_bytes", "memory of this process in ordinary pages"),
    ("hugepages_bytes", "memory of this process in hugepages"),
    ("host_hugepage_bytes", "size of a hugepage of the host's pool"),
    ("host_hugepages_total", "hugepages in the host's pool"),
    ("host_hugepages_free", "hugepages of the host's pool that nobody has taken or reserved"),
];

/// Counters of reloads.
pub(super) const RELOAD: &[(&str, &str)] = &[
    ("reloads", "reloads that were done"),
    ("reloads_refused", "reloads that were refused"),
    (
        "sites_retired",
        "sites that were replaced and are still in memory, because a request holds them",
    ),
    ("files_served", "static files of the site that is served"),
    (
        "files_skipped",
        "names in the directories of that site that lead to no file that can be served (files.unreadable = \"skip\")",
    ),
    ("links_refused", "links among the skipped files that files.links does not allow"),
    (
        "names_hidden",
        "names in those directories that begin with a dot and that files.dot_names does not have",
    ),
];

/// Counters of the log.
pub(super) const LOG: &[(&str, &str)] =
    &[("log_entries_lost", "entries of the log that standard error did not take")];
