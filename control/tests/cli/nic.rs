//! `pollux nic` as an operator meets it, on a machine whose NICs, if it has any, are left alone: nothing
//! here says `--yes` of a device that exists.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::pollux::{Ended, pollux};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use serde_json::Value;

/// A PCI address that no machine has.
const NOWHERE: &str = "ffff:ff:1f.7";

/// Runs a command with a state directory.
fn nic(arguments: &[&str], state: &tempfile::TempDir) -> Ended {
    let state = state.path().to_str().expect("UTF-8");
    pollux(&[&["nic"], arguments, &["--state", state]].concat())
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

/// The record of a NIC that no longer exists, from an earlier start of the machine.
fn leave_record(state: &tempfile::TempDir) {
    let record = format!(
        r#"{{"version":1,"address":"{NOWHERE}","boot_id":"earlier","written":1,"bound":true,
        "driver":"igb","driver_override":null,"noiommu_before":null,"watchdog":null,"interfaces":[
        {{"name":"gone0","namespace":null,"index":2,"mac":[2,0,0,0,0,1],"mtu":1500,
        "tx_queue_len":1000,"up":true,"promiscuous":false,"master":null,"addresses":[],"routes":[]}}]}}"#
    );
    fs::write(state.path().join(format!("{NOWHERE}.json")), record).expect("writable");
}

#[test]
fn the_list_has_every_network_controller_of_this_machine() {
    let state = directory();
    let listed = nic(&["list", "--json"], &state);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let list: Value = serde_json::from_str(&listed.stdout).expect("one JSON object");
    assert_eq!(list["version"], 1);
    let found: Vec<_> = list["nics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|nic| nic["address"].as_str().expect("an address").to_owned())
        .collect();
    let mut wanted = Vec::new();
    for entry in fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten() {
        let class = fs::read_to_string(entry.path().join("class")).expect("readable");
        if class.starts_with("0x02") {
            wanted.push(entry.file_name().into_string().expect("UTF-8"));
        }
    }
    wanted.sort();
    assert_eq!(found, wanted);
    let text = nic(&["list"], &state).stdout;
    for address in &found {
        assert!(text.contains(address.as_str()), "{text}");
    }
    assert!(!found.is_empty() || text.contains("has no PCI NIC"), "{text}");
}

#[test]
fn a_nic_in_use_is_refused_with_every_reason() {
    let state = directory();
    let list = nic(&["list", "--json"], &state).stdout;
    let list: Value = serde_json::from_str(&list).expect("one JSON object");
    let nics = list["nics"].as_array().expect("a list");
    let Some(used) = nics.iter().find(|nic| nic["availability"] == "in use") else {
        eprintln!("skipped: no NIC of this machine is in use");
        return;
    };
    let address = used["address"].as_str().expect("an address");
    let refused = nic(&["bind", address], &state);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    for reason in used["reasons"].as_array().expect("a list") {
        let rule = reason["rule"].as_str().expect("a name");
        assert!(refused.stderr.contains(&format!("--force {rule}")), "{}", refused.stderr);
    }
    assert_eq!(fs::read_dir(state.path()).expect("readable").count(), 0, "nothing is recorded");
}

#[test]
fn ports_that_are_none_are_exit_code_2() {
    let state = directory();
    for port in [NOWHERE, "01:00.0.0", "no-such-if"] {
        for arguments in [&["bind", port][..], &["bind", port, "--yes"], &["unbind", port]] {
            let unknown = nic(arguments, &state);
            assert_eq!(unknown.code, 2, "{arguments:?}: {}", unknown.stderr);
            for word in [port, "`pollux nic list`"] {
                assert!(unknown.stderr.contains(word), "{}", unknown.stderr);
            }
        }
    }
    let loopback = nic(&["bind", "lo"], &state);
    assert_eq!(loopback.code, 2);
    assert!(loopback.stderr.contains("belongs to no PCI device"), "{}", loopback.stderr);
}

#[test]
fn rules_and_times_are_checked() {
    let state = directory();
    let wrong = nic(&["bind", NOWHERE, "--force", "everything"], &state);
    assert_eq!(wrong.code, 2);
    for rule in ["default-route", "ssh-session", "address", "upper-device", "network-root"] {
        assert!(wrong.stderr.contains(rule), "{}", wrong.stderr);
    }
    let wrong = nic(&["bind", NOWHERE, "--watchdog", "0s"], &state);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("from 1s to 24h"), "{}", wrong.stderr);
}

#[test]
fn status_tells_records_and_unbind_ends_them() {
    let state = directory();
    let empty = nic(&["status"], &state);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, "no NIC is bound by pollux\n"));
    let json = nic(&["status", "--json"], &state).stdout;
    assert_eq!(json, "{\"version\":1,\"bound\":[]}\n");
    leave_record(&state);
    let json: Value =
        serde_json::from_str(&nic(&["status", "--json"], &state).stdout).expect("one JSON object");
    let bound = &json["bound"][0];
    assert_eq!(bound["address"], NOWHERE);
    assert_eq!(bound["state"], "from an earlier start");
    assert_eq!(bound["interfaces"][0], "gone0");
    let confirmed = nic(&["confirm", "gone0"], &state);
    assert_eq!(confirmed.code, 1, "{}", confirmed.stderr);
    assert!(confirmed.stderr.contains("nothing to confirm"), "{}", confirmed.stderr);
    let unbound = nic(&["unbind", "gone0"], &state);
    assert_eq!(unbound.code, 0, "{}", unbound.stderr);
    assert!(unbound.stdout.contains("is no longer there"), "{}", unbound.stdout);
    let left: Vec<_> = fs::read_dir(state.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_watchdog_outlives_its_terminal_and_ends_when_it_is_confirmed() {
    let state = directory();
    leave_record(&state);
    let path = state.path().join(format!("{NOWHERE}.json"));
    let text = fs::read_to_string(&path).expect("readable");
    let watched = r#""watchdog":{"token":5,"pid":0,"deadline":1}"#;
    fs::write(&path, text.replace(r#""watchdog":null"#, watched)).expect("writable");
    let mut watchdog = Command::new(env!("CARGO_BIN_EXE_pollux"))
        .args(["nic", "watchdog", NOWHERE, "--token", "5", "--seconds", "600", "--state"])
        .arg(state.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary under test runs");
    let mut line = String::new();
    let stdout = watchdog.stdout.take().expect("it was asked for");
    BufReader::new(stdout).read_line(&mut line).expect("it speaks");
    assert_eq!(line, "armed\n");
    let pid = Pid::from_raw(i32::try_from(watchdog.id()).expect("an id"));
    assert_eq!(getsid(Some(pid)), Ok(pid), "it has a session of its own");
    kill(pid, Signal::SIGHUP).expect("it runs");
    kill(pid, Signal::SIGINT).expect("it runs");
    let status = nic(&["status"], &state);
    assert!(status.stdout.contains("pollux nic confirm"), "{}", status.stdout);
    assert_eq!(watchdog.try_wait().expect("a child of ours"), None, "signals end it");
    // What a confirmation leaves.
    fs::write(&path, text).expect("writable");
    let deadline = Instant::now() + Duration::from_secs(20);
    let ended = loop {
        match watchdog.try_wait().expect("a child of ours") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                watchdog.kill().expect("it runs");
                panic!("it does not see that it was confirmed");
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_damaged_record_is_told_and_set_aside() {
    let state = directory();
    let path = state.path().join(format!("{NOWHERE}.json"));
    fs::write(&path, "{").expect("writable");
    let told = nic(&["status"], &state);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("damaged"), "{}", told.stdout);
    let unbound = nic(&["unbind", NOWHERE], &state);
    assert_eq!(unbound.code, 0, "{}", unbound.stderr);
    assert!(unbound.stdout.contains("damaged"), "{}", unbound.stdout);
    assert!(!path.exists());
}
