//! Findings, and how they are shown: as text with failures first, or as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// How a finding is judged. The order is that of the text: what matters most comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum State {
    /// The server does not start, or does not work, like this.
    Fail,
    /// It starts; it may be slow, or something is left behind, or a fact is unknown.
    Warn,
    /// As it should be.
    Ok,
}

/// What is examined. Their names in JSON are stable: scripts select findings by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Check {
    Configuration,
    Data,
    Sqlite,
    Postgres,
    Server,
    Hugepages,
    Memlock,
    OpenFiles,
    IsolatedCores,
    TicklessCores,
    RcuCores,
    Governor,
    Smt,
    Numa,
    Iommu,
    Link,
    Capabilities,
    Driver,
    Pmd,
    Bpffs,
    Mtu,
    Offloads,
    Promiscuity,
    Xdp,
    Address,
    Exception,
    Records,
    HugepageFiles,
    RuntimeDirectories,
}

/// One fact about this machine, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was examined.
    pub(super) check: Check,
    /// The NUMA node it is about, if it is about one.
    pub(super) node: Option<u32>,
    /// The judgement.
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What mends it: a command, as far as one does.
    pub(super) fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self { check, node: None, state: State::Ok, found: found.into(), fix: None }
    }

    /// Something to know about.
    pub(super) fn warn(check: Check, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warn, fix: Some(fix.into()), ..Self::ok(check, found) }
    }

    /// Something that stops the server.
    pub(super) fn fail(check: Check, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Fail, fix: Some(fix.into()), ..Self::ok(check, found) }
    }

    /// A fact that could not be read, and why.
    pub(super) fn unknown(check: Check, why: impl AsRef<str>) -> Self {
        let found = format!("unknown: {}", why.as_ref());
        Self { state: State::Warn, ..Self::ok(check, found) }
    }

    /// The same, about a NUMA node.
    pub(super) fn on_node(self, node: Option<u32>) -> Self {
        Self { node, ..self }
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("check".into(), json!(<&str>::from(self.check)));
        if let Some(node) = self.node {
            object.insert("node".into(), json!(node));
        }
        object.insert("state".into(), json!(<&str>::from(self.state)));
        object.insert("found".into(), json!(self.found));
        if let Some(fix) = &self.fix {
            object.insert("fix".into(), json!(fix));
        }
        Value::Object(object)
    }
}

/// All findings of one examination, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// Adds a finding, or several.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// 0 where all is well, 1 where there are warnings, 2 where there are failures.
    pub(super) fn exit_code(&self) -> u8 {
        match self.0.iter().map(|finding| finding.state).min() {
            None | Some(State::Ok) => 0,
            Some(State::Warn) => 1,
            Some(State::Fail) => 2,
        }
    }

    /// Lines for people: failures, then warnings, then the rest, then the counts.
    pub(super) fn text(&self) -> String {
        let mut findings: Vec<&Finding> = self.0.iter().collect();
        findings.sort_by_key(|finding| finding.state);
        let mut text = String::new();
        for Finding { check, node, state, found, fix } in findings {
            let title = <&str>::from(*check).replace('-', " ");
            let node = node.map(|node| format!("node {node}: ")).unwrap_or_default();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{:<6}{title:<21}{node}{found}", <&str>::from(*state));
            if let Some(fix) = fix {
                let _ = writeln!(text, "{:27}fix: {fix}", "");
            }
        }
        let [ok, warn, fail] = [State::Ok, State::Warn, State::Fail].map(|state| self.count(state));
        let _ = writeln!(text, "{ok} ok, {warn} warn, {fail} fail");
        text
    }

    /// One JSON object, in one line.
    pub(super) fn json(&self) -> String {
        let object = json!({
            "version": VERSION,
            "findings": self.0.iter().map(Finding::json).collect::<Vec<_>>(),
            "ok": self.count(State::Ok),
            "warn": self.count(State::Warn),
            "fail": self.count(State::Fail),
        });
        format!("{object}\n")
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }
}

/// The version of the JSON.
const VERSION: u32 = 1;

/// The only finding must be so: its state, words that it has, and its fix.
#[cfg(test)]
#[track_caller]
pub(super) fn expect_one(findings: &[Finding], state: State, words: &[&str], fix: Option<&str>) {
    let [finding] = findings else { panic!("not one finding: {findings:#?}") };
    assert_eq!(finding.state, state, "{finding:#?}");
    for word in words {
        assert!(finding.found.contains(word), "lacks {word:?}: {finding:#?}");
    }
    assert_eq!(finding.fix.as_deref(), fix, "{finding:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add([Finding::ok(Check::Smt, "no worker shares a core")]);
        report.add([Finding::unknown(Check::Numa, "denied")]);
        report
            .add([Finding::fail(Check::Hugepages, "none", "./hugepages.sh reserve 2")
                .on_node(Some(1))]);
        report
    }

    #[test]
    fn failures_come_first_and_counts_last() {
        assert_eq!(
            report().text(),
            "fail  hugepages            node 1: none\n\
             \x20                          fix: ./hugepages.sh reserve 2\n\
             warn  numa                 unknown: denied\n\
             ok    smt                  no worker shares a core\n\
             1 ok, 1 warn, 1 fail\n"
        );
    }

    #[test]
    fn json_keeps_the_order_of_the_checks() {
        assert_eq!(
            report().json(),
            "{\"version\":1,\"findings\":[\
             {\"check\":\"smt\",\"state\":\"ok\",\"found\":\"no worker shares a core\"},\
             {\"check\":\"numa\",\"state\":\"warn\",\"found\":\"unknown: denied\"},\
             {\"check\":\"hugepages\",\"node\":1,\"state\":\"fail\",\"found\":\"none\",\
             \"fix\":\"./hugepages.sh reserve 2\"}],\"ok\":1,\"warn\":1,\"fail\":1}\n"
        );
    }

    #[test]
    fn the_worst_finding_is_the_exit_code() {
        let mut report = Report::default();
        assert_eq!(report.exit_code(), 0);
        for (finding, code) in [
            (Finding::ok(Check::Smt, ""), 0),
            (Finding::warn(Check::Smt, "", ""), 1),
            (Finding::fail(Check::Smt, "", ""), 2),
            (Finding::ok(Check::Smt, ""), 2),
        ] {
            report.add([finding]);
            assert_eq!(report.exit_code(), code);
        }
    }
}
