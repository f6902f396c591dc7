//! What the counters of a report are called as metrics. A rule, and the exceptions to it: alternatives of one
//! thing are one family with a label, and units come last.

use super::family::FamilyKind;
use crate::stats::is_level;

/// A counter as a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The family, without `_total`.
    pub(super) family: String,
    /// What the family is.
    pub(super) kind: FamilyKind,
    /// The label that tells it from others of its family, and its value.
    pub(super) label: Option<(&'static str, String)>,
    /// What the family means; `None`: what the counter means.
    pub(super) help: Option<&'static str>,
}

/// Counters that are alternatives of one thing.
#[derive(Clone, Copy, Debug)]
struct Group {
    family: &'static str,
    label: &'static str,
    help: &'static str,
}

impl Group {
    /// The member of it that `counter` is, called `value`.
    fn member(&self, counter: &str, value: &str) -> Name {
        Name {
            family: self.family.to_owned(),
            kind: kind_of(counter),
            label: Some((self.label, value.to_owned())),
            help: Some(self.help),
        }
    }
}

const DROPS: Group = Group {
    family: "pollux_frames_dropped",
    label: "reason",
    help: "received frames that the worker dropped, by reason",
};
const RESPONSES: Group = Group {
    family: "pollux_responses",
    label: "class",
    help: "responses, by class of their status",
};
const CYCLES: Group = Group {
    family: "pollux_cycles",
    label: "mode",
    help: "TSC cycles: busy in turns that had something to do, idle in all others, sleep included",
};
const CONNECTIONS: Group = Group {
    family: "pollux_connections",
    label: "state",
    help: "connections held now, TIME-WAIT aside, by what they do",
};
const CLOSES: Group = Group {
    family: "pollux_connections_closed",
    label: "cause",
    help: "connections that ended, by what ended them",
};
const DEADLINES: Group = Group {
    family: "pollux_deadlines_expired",
    label: "deadline",
    help: "deadlines that a client, or control, did not meet",
};
const RINGS: Group = Group {
    family: "pollux_ring_entries",
    label: "ring",
    help: "requests in the submission ring and completions in the completion ring now",
};
const OFFLOADS: Group = Group {
    family: "pollux_offloads",
    label: "backend",
    help: "offloads taken from workers, cache hits included, by what answers them",
};

/// A counter of a core.
pub(super) fn of_core(counter: &str) -> Name {
    match counter {
        "connections_half_open"
        | "connections_idle"
        | "connections_reading"
        | "connections_waiting"
        | "connections_sending"
        | "connections_closing" => {
            CONNECTIONS.member(counter, counter.trim_start_matches("connections_"))
        }
        "connections_closed" => CLOSES.member(counter, "fin"),
        "connections_reset_by_peer" => CLOSES.member(counter, "reset_by_peer"),
        "connections_aborted" => CLOSES.member(counter, "aborted"),
        "connections_handshake_expired" => CLOSES.member(counter, "handshake_expired"),
        "submission_ring" => RINGS.member(counter, "submission"),
        "completion_ring" => RINGS.member(counter, "completion"),
        "parked" => plain("pollux_requests_parked", counter),
        _ => {
            let groups = [
                ("drop_", DROPS),
                ("responses_", RESPONSES),
                ("cycles_", CYCLES),
                ("deadline_", DEADLINES),
            ];
            let member = groups.iter().find_map(|(prefix, group)| {
                counter.strip_prefix(prefix).map(|value| group.member(counter, value))
            });
            member.unwrap_or_else(|| by_rule(counter))
        }
    }
}

/// A counter of what answers beside the cores.
pub(super) fn of_offload(counter: &str) -> Name {
    match counter {
        "offloads_postgres" => OFFLOADS.member(counter, "postgres"),
        "offloads_sqlite" => OFFLOADS.member(counter, "sqlite"),
        "offloads_compress" => OFFLOADS.member(counter, "compress"),
        "response_bytes_in_use" => plain("pollux_responses_in_use_bytes", counter),
        "compressed" => plain("pollux_bodies_compressed", counter),
        _ => by_rule(counter),
    }
}

/// A counter of the ports.
pub(super) fn of_nic(counter: &str) -> Name {
    match counter {
        "mbufs" | "mbufs_free" => by_rule(counter),
        _ => plain(&format!("pollux_nic_{counter}"), counter),
    }
}

/// A number of the process's memory and of the host's: all of them are levels.
pub(super) fn of_memory(counter: &str) -> Name {
    let name = match counter {
        "resident_bytes" => plain("process_resident_memory_bytes", counter),
        "host_hugepage_bytes" => plain("pollux_host_hugepage_size_bytes", counter),
        "host_hugepages_total" => plain("pollux_host_hugepages", counter),
        _ => by_rule(counter),
    };
    Name { kind: FamilyKind::Gauge, ..name }
}

/// The rule: the counter's own name.
pub(super) fn by_rule(counter: &str) -> Name {
    plain(&format!("pollux_{counter}"), counter)
}

fn plain(family: &str, counter: &str) -> Name {
    Name { family: family.to_owned(), kind: kind_of(counter), label: None, help: None }
}

fn kind_of(counter: &str) -> FamilyKind {
    if is_level(counter) { FamilyKind::Gauge } else { FamilyKind::Counter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(name: Name) -> String {
        let label =
            name.label.map_or_else(String::new, |(name, value)| format!("{{{name}={value}}}"));
        format!("{:?} {}{label}", name.kind, name.family)
    }

    #[test]
    fn alternatives_are_labels_and_everything_else_keeps_its_name() {
        let cases = [
            (of_core("drop_runt"), "Counter pollux_frames_dropped{reason=runt}"),
            (of_core("responses_2xx"), "Counter pollux_responses{class=2xx}"),
            (of_core("connections_idle"), "Gauge pollux_connections{state=idle}"),
            (of_core("connections_open"), "Gauge pollux_connections_open"),
            (of_core("connections_opened"), "Counter pollux_connections_opened"),
            (of_core("connections_closed"), "Counter pollux_connections_closed{cause=fin}"),
            (of_core("cycles_busy"), "Counter pollux_cycles{mode=busy}"),
            (of_core("submission_ring"), "Gauge pollux_ring_entries{ring=submission}"),
            (of_core("rx_bytes"), "Counter pollux_rx_bytes"),
            (of_nic("rx_bytes"), "Counter pollux_nic_rx_bytes"),
            (of_nic("mbufs_free"), "Gauge pollux_mbufs_free"),
            (of_memory("resident_bytes"), "Gauge process_resident_memory_bytes"),
            (of_memory("hugepages_bytes"), "Gauge pollux_hugepages_bytes"),
            (of_offload("offloads_sqlite"), "Counter pollux_offloads{backend=sqlite}"),
            (of_offload("responses_in_use"), "Gauge pollux_responses_in_use"),
            (by_rule("sites_retired"), "Gauge pollux_sites_retired"),
        ];
        for (name, expected) in cases {
            assert_eq!(spell(name), expected);
        }
    }
}
