//! What `pollux doctor` and `pollux nic` read this machine through: its files below a root, and the output of a few tools.
//! Only reads. A test roots it at a directory with captured files.

#[cfg(test)]
pub(crate) mod captured;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A machine to look at.
pub(crate) struct Host {
    root: PathBuf,
    run: Box<Run>,
}

impl Host {
    /// This one.
    pub(crate) fn here() -> Self {
        Self::at("/", run)
    }

    /// One whose files are below `root`, where `run` gives the output of tools.
    pub(crate) fn at(
        root: impl Into<PathBuf>,
        run: impl Fn(&str, &[&str]) -> Result<String, String> + 'static,
    ) -> Self {
        Self { root: root.into(), run: Box::new(run) }
    }

    /// Where `path`, which does not begin with `/`, really is.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The content of a file, without the blanks around it; `None` where there is no such file.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, String> {
        let read = File::open(self.path(path)).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(TEXT_LEN_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("/{path}: {error}")),
        }
    }

    /// The number that a file consists of.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path).ok()??.parse().ok()
    }

    /// Names in a directory, sorted; none where it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is something.
    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The last component of what a symbolic link points to.
    pub(crate) fn target(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Standard output of a tool.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        (self.run)(program, arguments)
    }

    /// Ids of the processes there are.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.names("proc").iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether a process of this id runs.
    pub(crate) fn runs(&self, process: u32) -> bool {
        self.exists(&format!("proc/{process}"))
    }

    /// A process for messages: `pollux (process 12)`.
    pub(crate) fn spell_process(&self, process: u32) -> String {
        let name = self.text(&format!("proc/{process}/comm")).ok().flatten().unwrap_or_default();
        let name = if name.is_empty() { "a program" } else { &name };
        format!("{name} (process {process})")
    }
}

type Run = dyn Fn(&str, &[&str]) -> Result<String, String>;

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or_default();
            Err(format!("{program} {}: {}: {line}", arguments.join(" "), output.status))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("{program} is not installed"))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// The value after `name` at the start of a line.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A path for a shell: quoted where it has to be.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@+:,=".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// More than any file of /proc and /sys that is read here.
const TEXT_LEN_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::captured::Captured;
    use super::*;

    #[test]
    fn what_is_odd_is_an_answer() {
        let captured = Captured::new().file("a", "  12 \n").file("bytes", "\u{0}").folder("d");
        let host = captured.host();
        assert_eq!(host.text("a"), Ok(Some("12".into())));
        assert_eq!(host.number("a"), Some(12));
        assert_eq!(host.text("none"), Ok(None));
        assert!(host.text("d").is_err_and(|why| why.starts_with("/d: ")));
        assert_eq!(host.number("bytes"), None);
        assert!(host.names("none").is_empty());
        assert_eq!(host.target("a"), None);
    }

    #[test]
    fn tools_that_fail_say_so() {
        let host = Host::here();
        assert_eq!(host.run("true", &[]), Ok(String::new()));
        assert!(host.run("false", &["x"]).is_err_and(|why| why.starts_with("false x: ")));
        let why = host.run("no-such-tool", &[]).expect_err("is not there");
        assert_eq!(why, "no-such-tool is not installed");
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted(Path::new("/run/a-1")), "/run/a-1");
        assert_eq!(quoted(Path::new("/a b'c")), "'/a b'\\''c'");
    }
}
