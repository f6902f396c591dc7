//! `pollux doctor`: what it says of a machine without a link, its JSON, its exit codes.

use std::fs;
use std::process::Command;

use crate::pollux::pollux;
use serde_json::Value;

/// A name that no server has.
const NAME: &str = "admin.name=cli-doctor";

/// The findings of a check, by its name.
fn of<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().filter(|finding| finding["check"] == check).collect()
}

#[test]
fn help_says_what_comes_out() {
    let help = pollux(&["doctor", "--help"]);
    assert_eq!(help.code, 0);
    for needed in ["--json", "--config", "--link", "--cores", "--set", "Exit codes:", "warnings"] {
        assert!(help.stdout.contains(needed), "lacks {needed}:\n{}", help.stdout);
    }
}

#[test]
fn json_has_every_finding_and_their_counts() {
    let told = pollux(&["doctor", "--json", "--set", NAME, "--link", "af_packet:no-such-if"]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    let report: Value = serde_json::from_str(&told.stdout).expect("one JSON object");
    assert_eq!(report["version"], 1);
    let findings = report["findings"].as_array().expect("a list");
    for state in ["ok", "warn", "fail"] {
        let count = findings.iter().filter(|finding| finding["state"] == state).count();
        assert_eq!(report[state], count, "{state}: {}", told.stdout);
    }
    for check in ["configuration", "data", "server", "hugepages", "isolated-cores", "iommu"] {
        assert!(!of(&report, check).is_empty(), "lacks {check}: {}", told.stdout);
    }
    let link = of(&report, "link");
    assert_eq!((link.len(), &link[0]["state"]), (1, &Value::from("fail")), "{}", told.stdout);
    assert!(link[0]["fix"].is_string(), "{}", told.stdout);
    let server = of(&report, "server");
    assert_eq!(server[0]["found"], "no server called cli-doctor runs");
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_names_its_line() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    let route = "[[route]]\nkind = \"sum\"\npath = \"/\"\n";
    fs::write(&file, format!("[limits]\nconections = 5\n{route}")).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let told = pollux(&["doctor", "--set", NAME, "--config", file]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    let first = format!("fail  configuration        {file}:2: unknown key limits.conections\n");
    assert!(told.stdout.starts_with(&first), "{}", told.stdout);
    assert!(told.stdout.contains("fix: did you mean limits.connections?\n"), "{}", told.stdout);
    let counts = told.stdout.lines().last().expect("counts");
    assert!(counts.ends_with(" fail") && counts.contains(" ok, "), "{counts}");
    let told = pollux(&["doctor", "--json", "--config", "/no/such/file.toml"]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    let report: Value = serde_json::from_str(&told.stdout).expect("one JSON object");
    assert_eq!(of(&report, "configuration")[0]["state"], "fail");
}

#[test]
fn a_database_that_cannot_be_reached_is_a_warning_without_its_password() {
    let output = Command::new(env!("CARGO_BIN_EXE_pollux"))
        .args(["doctor", "--json", "--set", NAME])
        .env("DATABASE_URL", "postgres://joe:geheim@127.0.0.1:1/db")
        .output()
        .expect("the binary under test runs");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!stdout.contains("geheim") && !stderr.contains("geheim"), "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).expect("one JSON object");
    let postgres = of(&report, "postgres");
    assert_eq!((postgres.len(), &postgres[0]["state"]), (1, &Value::from("warn")), "{stdout}");
    let found = postgres[0]["found"].as_str().expect("text");
    assert!(found.starts_with("joe@127.0.0.1:1/db: PostgreSQL cannot be reached"), "{found}");
}
