//! A machine made up for a test: files in a temporary directory, and what tools say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::Host;

/// Files and tools of a machine.
pub(crate) struct Captured {
    directory: tempfile::TempDir,
    tools: Vec<(String, String)>,
}

impl Captured {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        Self { directory, tools: Vec::new() }
    }

    /// With a file.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        fs::write(self.parent(path), text).expect("writable");
        self
    }

    /// With a directory.
    pub(crate) fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.parent(path)).expect("writable");
        self
    }

    /// With a symbolic link.
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        symlink(target, self.parent(path)).expect("writable");
        self
    }

    /// With a tool that says `text` when it is called like this.
    pub(crate) fn tool(mut self, command: &str, text: &str) -> Self {
        self.tools.push((command.into(), text.into()));
        self
    }

    /// Where its files are.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The machine.
    pub(crate) fn host(&self) -> Host {
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
