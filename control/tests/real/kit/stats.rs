//! The counters that the server writes.

use serde_json::Value;

/// One reading of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Stats(Value);

impl Stats {
    /// Reads the document.
    pub(crate) fn parse(text: &str) -> Self {
        Self::new(serde_json::from_str(text).expect("the counters are JSON"))
    }

    /// Takes the document.
    pub(crate) fn new(document: Value) -> Self {
        let stats = Self(document);
        for section in ["total", "offload", "reload"] {
            let counters = stats.0[section].as_object().expect("counters by name");
            let value = |value: &Value| value.as_u64().unwrap_or_default();
            sim::moved::note(counters.iter().map(|(name, number)| (name.as_str(), value(number))));
        }
        stats
    }

    /// A counter, over all cores.
    #[track_caller]
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.0["total"][name].as_u64().unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// A counter of each core.
    #[track_caller]
    pub(crate) fn each(&self, name: &str) -> Vec<u64> {
        let cores = self.0["cores"].as_array().expect("the document has cores");
        let value = |core: &Value| core[name].as_u64();
        cores.iter().map(|core| value(core).unwrap_or_else(|| panic!("no {name}"))).collect()
    }

    /// A number of the reloads.
    #[track_caller]
    pub(crate) fn reload(&self, name: &str) -> u64 {
        self.0["reload"][name].as_u64().unwrap_or_else(|| panic!("there is no {name} of reloads"))
    }

    /// A number of what answers asks: databases, their cache, compression.
    #[track_caller]
    pub(crate) fn offload(&self, name: &str) -> u64 {
        self.0["offload"][name].as_u64().unwrap_or_else(|| panic!("there is no {name} of the asks"))
    }

    /// Totals that are not zero and whose name begins like this.
    pub(crate) fn nonzero(&self, prefix: &str) -> Vec<(String, u64)> {
        let totals = self.0["total"].as_object().expect("the document has totals");
        let value = |value: &Value| value.as_u64().unwrap_or_default();
        let found = totals.iter().map(|(name, number)| (name.clone(), value(number)));
        found.filter(|(name, number)| name.starts_with(prefix) && *number > 0).collect()
    }

    /// Everything lost, by reason: dropped by the worker, or below it.
    pub(crate) fn losses(&self) -> Vec<(String, u64)> {
        let mut losses = self.nonzero("drop_");
        losses.extend(self.nonzero("nic_"));
        losses
    }

    /// Responses of every class.
    pub(crate) fn responses(&self) -> u64 {
        ["2xx", "3xx", "4xx", "5xx"]
            .iter()
            .map(|class| self.total(&format!("responses_{class}")))
            .sum()
    }

    /// What the port itself counts and is not zero.
    pub(crate) fn nic(&self) -> Vec<(String, u64)> {
        let nic = self.0["nic"].as_object().expect("the document has the port's counters");
        let value = |value: &Value| value.as_u64().unwrap_or_default();
        let found = nic.iter().map(|(name, number)| (name.clone(), value(number)));
        found.filter(|(_, number)| *number > 0).collect()
    }

    /// A counter or level below the workers.
    #[track_caller]
    pub(crate) fn port(&self, name: &str) -> u64 {
        self.0["nic"][name].as_u64().unwrap_or_else(|| panic!("there is no {name} of the port"))
    }
}
