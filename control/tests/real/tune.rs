//! `pollux tune` on this machine's own interrupts: they move off a core and come back, also after an `apply`
//! that was killed in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use testkit::Tool;

use crate::kit::binary;

/// The tests of this file change the same settings.
static TURN: Mutex<()> = Mutex::new(());

/// Where interrupts, new ones and work of workqueues may go, by file.
fn affinities() -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir("/proc/irq").expect("/proc is mounted").flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path().join("smp_affinity_list"))
        .filter(|f| f.exists())
        .collect();
    files.push("/proc/irq/default_smp_affinity".into());
    files.push("/sys/devices/virtual/workqueue/cpumask".into());
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("readable").trim().to_owned();
        (file, text)
    };
    files.into_iter().map(read).collect()
}

/// Last digits of a mask in which the bit of core 1 is clear.
const MASKS_WITHOUT_CORE_1: [char; 8] = ['0', '1', '4', '5', '8', '9', 'c', 'd'];

/// Whether a list such as `0-1,4` has core 1.
fn has_core_1(list: &str) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().expect("a list of cores");
        (number(first)..=number(last)).contains(&1)
    })
}

/// Runs `pollux tune` with `arguments`; its exit code and what it printed.
fn tune(state: &Path, arguments: &[&str]) -> (i32, String) {
    let binary = binary();
    let all = [&["tune"], arguments, &["--state", state.to_str().expect("UTF-8")]].concat();
    let output = Tool::new(30, binary.to_str().expect("UTF-8"), &all).output();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// Reverts, should a test end early.
struct Reverted<'a>(&'a Path);

impl Drop for Reverted<'_> {
    fn drop(&mut self) {
        tune(self.0, &["revert"]);
    }
}

#[test]
fn interrupts_leave_the_core_and_come_back() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().expect("temporary directory");
    let state = directory.path().join("state");
    let before = affinities();
    let _reverted = Reverted(&state);

    let (code, plan) = tune(&state, &["apply", "--cores", "1"]);
    assert_eq!(code, 0, "{plan}");
    assert!(plan.ends_with("nothing was done: add --yes\n"), "{plan}");
    assert_eq!((affinities(), state.exists()), (before.clone(), false), "{plan}");

    let (code, applied) = tune(&state, &["apply", "--cores", "1", "--yes"]);
    assert_eq!(code, 0, "{applied}");
    let mut moved = 0;
    for (file, now) in affinities() {
        let was = &before[&file];
        if now != *was {
            moved += 1;
            continue;
        }
        let number = file.iter().nth(3).and_then(|part| part.to_str()).unwrap_or_default();
        let refused = applied
            .lines()
            .any(|line| line.starts_with(&format!("irq {number}")) && line.contains(": stays: "));
        let list = file.ends_with("smp_affinity_list");
        let off_the_core =
            if list { !has_core_1(&now) } else { now.ends_with(MASKS_WITHOUT_CORE_1) };
        assert!(refused || off_the_core, "{} has {now}:\n{applied}", file.display());
    }
    assert!(moved > 0, "nothing moved:\n{applied}");

    let (code, shown) = tune(&state, &["show", "--cores", "1", "--json"]);
    assert_eq!(code, 0, "{shown}");
    let shown: Value = serde_json::from_str(&shown).expect("is JSON");
    assert_eq!(shown["applied"]["cores"], serde_json::json!([1]), "{shown:#}");

    let (code, reverted) = tune(&state, &["revert"]);
    assert_eq!(code, 0, "{reverted}");
    assert_eq!(affinities(), before, "{reverted}");
    assert_eq!(tune(&state, &["revert"]), (0, "nothing was applied\n".into()));
}

/// In a mount namespace one interrupt's file is a pipe: `apply` reads its value there, changes what comes
/// before it, and waits when it writes to it, for as long as nobody reads. There it is killed.
const KILLED: &str = r#"
set -eu
mkfifo "$DIR/pipe"
mount --bind "$DIR/pipe" "/proc/irq/$MIDDLE/smp_affinity_list"
"$POLLUX" tune apply --cores 1 --yes --state "$DIR/state" >"$DIR/said" 2>&1 &
applied=$!
timeout 20 sh -c 'echo 0-1 >"$DIR/pipe"'
timeout 20 sh -c 'until [ "$(cat "/proc/irq/$FIRST/smp_affinity_list")" = 0 ]; do :; done'
kill -9 "$applied"
wait "$applied" || [ $? -eq 137 ]
"#;

#[test]
fn what_a_killed_apply_changed_comes_back() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().expect("temporary directory");
    let state = directory.path().join("state");
    let before = affinities();
    let _reverted = Reverted(&state);
    let mut numbers: Vec<u32> = before
        .iter()
        .filter(|(_, text)| *text == "0-1")
        .filter_map(|(file, _)| file.iter().nth(3)?.to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    if numbers.len() < 3 {
        println!("skipped: this machine has no three interrupts that may go to cores 0 and 1");
        return;
    }
    let (first, middle, last) = (numbers[0], numbers[1], numbers[numbers.len() - 1]);
    let binary = binary();
    let killed =
        Tool::new(60, "unshare", &["--mount", "--propagation", "private", "sh", "-c", KILLED])
            .with("POLLUX", binary.to_str().expect("UTF-8"))
            .with("DIR", directory.path().to_str().expect("UTF-8"))
            .with("FIRST", &first.to_string())
            .with("MIDDLE", &middle.to_string())
            .output();
    let said = fs::read_to_string(directory.path().join("said")).unwrap_or_default();
    assert!(killed.status.success(), "{}{said}", String::from_utf8_lossy(&killed.stderr));
    let between = affinities();
    let of = |number: u32| {
        between[&PathBuf::from(format!("/proc/irq/{number}/smp_affinity_list"))].as_str()
    };
    assert_eq!((of(first), of(last)), ("0", "0-1"), "it was killed in the middle:\n{said}");

    let (code, reverted) = tune(&state, &["revert"]);
    assert_eq!(code, 0, "{reverted}");
    assert!(reverted.contains(&format!("irq {first} ")), "{reverted}");
    assert!(!reverted.contains(&format!("irq {last} ")), "was never changed: {reverted}");
    assert_eq!(affinities(), before, "{reverted}");
}
