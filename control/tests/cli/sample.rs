//! `pollux sample`: the same data every time, and never over somebody's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::pollux::pollux;

type Tree = BTreeMap<String, (Vec<u8>, SystemTime)>;

#[test]
fn two_samples_are_the_same_to_the_last_byte_and_second() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let [one, two] = ["one", "two"].map(|name| {
        let target = directory.path().join(name);
        let written = pollux(&["sample", target.to_str().expect("UTF-8")]);
        assert_eq!(written.code, 0, "{}", written.stderr);
        tree(&target)
    });
    let names = ["dataset.json", "dataset-large.json", "benchmark.db", "seed.sql"];
    for name in names.into_iter().chain(["static/app.js", "static/app.js.br", "static/logo.svg.gz"])
    {
        assert!(one.contains_key(name), "{name}");
    }
    // The SQLite file needs nothing beside it.
    assert_eq!(one.keys().filter(|name| !name.starts_with("static/")).count(), names.len());
    for (name, file) in &one {
        assert!(two[name] == *file, "{name} differs");
    }
    assert_eq!(one.len(), two.len());
}

#[test]
fn a_sample_can_be_served() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let target = directory.path().join("data");
    let target = target.to_str().expect("UTF-8");
    assert_eq!(pollux(&["sample", target]).code, 0);
    let arena = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/arena.toml");
    for config in [&[][..], &["--config", arena]] {
        let checked = pollux(&[&["check", "--data", target], config].concat());
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        assert!(checked.stdout.contains(target), "{}", checked.stdout);
    }
}

#[test]
fn a_directory_with_files_needs_force() {
    let directory = tempfile::tempdir().expect("temporary directory");
    fs::write(directory.path().join("mine"), "mine").expect("writable");
    let target = directory.path().to_str().expect("UTF-8");
    let refused = pollux(&["sample", target]);
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        format!(
            "pollux: {target}: is not empty; name another directory, or say --force to write into it\n"
        )
    );
    assert_eq!(pollux(&["sample", target, "--force"]).code, 0);
    assert!(directory.path().join("mine").exists());
}

/// Every file below `root` with content and modification time.
fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            let modified =
                fs::metadata(&path).and_then(|meta| meta.modified()).expect("has a time");
            tree.insert(name, (fs::read(&path).expect("readable"), modified));
        }
    }
    tree
}

/// `println!` would panic, and a panic is no way to say that a disk is full.
#[test]
fn what_cannot_be_printed_is_an_error() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let target = directory.path().join("data");
    let target = target.to_str().expect("UTF-8");
    for arguments in [&["sample", target][..], &["completions", "bash"], &["--help"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux");
        let output = Command::new(env!("CARGO_BIN_EXE_pollux"))
            .args(arguments)
            .stdout(full)
            .output()
            .expect("the binary under test runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("pollux: standard output cannot be written: "), "{said}");
    }
}
