//! A machine made up for a test: files in a temporary directory, and what tools say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::host::Host;
use super::report::{Finding, State};

/// Files and tools of a machine.
pub(super) struct Captured {
    directory: tempfile::TempDir,
    tools: Vec<(String, String)>,
}

impl Captured {
    /// With nothing in it.
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        Self { directory, tools: Vec::new() }
    }

    /// With a file.
    pub(super) fn file(self, path: &str, text: &str) -> Self {
        fs::write(self.parent(path), text).expect("writable");
        self
    }

    /// With a directory.
    pub(super) fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.parent(path)).expect("writable");
        self
    }

    /// With a symbolic link.
    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        symlink(target, self.parent(path)).expect("writable");
        self
    }

    /// With a tool that says `text` when it is called like this.
    pub(super) fn tool(mut self, command: &str, text: &str) -> Self {
        self.tools.push((command.into(), text.into()));
        self
    }

    /// Where its files are.
    pub(super) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The machine.
    pub(super) fn host(&self) -> Host {
        let tools = self.tools.clone();
        Host::at(self.root(), move |program, arguments| {
            let command = [&[program], arguments].concat().join(" ");
            let said = tools.iter().find(|(known, _)| *known == command);
            said.map(|(_, text)| text.clone()).ok_or_else(|| format!("{program} is not installed"))
        })
    }

    fn parent(&self, path: &str) -> std::path::PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("is below the root")).expect("writable");
        path
    }
}

/// The only finding must be so: its state, words that it has, and its fix.
#[track_caller]
pub(super) fn expect_one(findings: &[Finding], state: State, words: &[&str], fix: Option<&str>) {
    let [finding] = findings else { panic!("not one finding: {findings:#?}") };
    assert_eq!(finding.state, state, "{finding:#?}");
    for word in words {
        assert!(finding.found.contains(word), "lacks {word:?}: {finding:#?}");
    }
    assert_eq!(finding.fix.as_deref(), fix, "{finding:#?}");
}
