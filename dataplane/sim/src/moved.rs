//! Which counters the tests of this process have moved, for `deploy/counters.sh`.
//!
//! Where `POLLUX_COUNTERS` names a directory, a file in it gets a line for each number that is declared, one
//! for each that was seen above zero, and one for each that is a level: whether a level is seen above zero
//! is a matter of the moment. A counter that no test ever moves may count nothing.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use engine::{Kind, Reading};

/// Notes counters by name and value.
///
/// # Panics
/// If the directory cannot be written.
pub fn note<'a>(counters: impl IntoIterator<Item = (&'a str, u64)>) {
    for (name, value) in counters {
        write("declared", name);
        if value > 0 {
            write("moved", name);
        }
    }
}

/// Notes what was read, and which of it are levels.
///
/// # Panics
/// If the directory cannot be written.
pub fn note_readings(readings: impl IntoIterator<Item = Reading>) {
    for Reading { name, kind, value, .. } in readings {
        note([(name, value)]);
        if kind == Kind::Level {
            write("level", name);
        }
    }
}

/// Writes a line, once a process.
fn write(word: &str, name: &str) {
    let Some(directory) = std::env::var_os(VARIABLE) else { return };
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("{word} {name}\n");
    if written.contains(&line) {
        return;
    }
    let path = PathBuf::from(directory).join(std::process::id().to_string());
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let result = file.and_then(|mut file| file.write_all(line.as_bytes()));
    result.unwrap_or_else(|error| panic!("{VARIABLE}: {}: {error}", path.display()));
    written.insert(line);
}

static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
const VARIABLE: &str = "POLLUX_COUNTERS";
