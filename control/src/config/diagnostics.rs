//! The errors of one configuration file, each at its line: all of them are found in one reading.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::secret::conceal;
use super::{ConfigError, Place};

/// Collects the errors of one file; knows its name and text, and so the line of every offset.
pub(super) struct Diagnostics<'a> {
    file: Arc<PathBuf>,
    text: &'a str,
    errors: RefCell<Vec<ConfigError>>,
}

/// An error was reported. Whoever needs the value that is missing now passes this on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

impl<'a> Diagnostics<'a> {
    /// `text`, which stands in `file`.
    pub(super) fn new(file: &Path, text: &'a str) -> Self {
        Self { file: Arc::new(file.to_owned()), text, errors: RefCell::default() }
    }

    /// The line of an offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File { file: Arc::clone(&self.file), line }
    }

    /// What was written there, on one line.
    pub(super) fn excerpt(&self, span: Range<usize>) -> String {
        let written = self.text.get(span).unwrap_or_default();
        let line = written.lines().next().unwrap_or_default();
        let short: String = line.chars().take(EXCERPT_CHARS).collect();
        let short = if short.len() < written.len() { format!("{short}...") } else { short };
        // Where it was cut, nothing may tell any more that it was a password.
        if conceal(written) == written { short } else { conceal(written) }
    }

    /// Adds an error.
    pub(super) fn report(&self, error: ConfigError) -> Reported {
        self.errors.borrow_mut().push(error);
        Reported
    }

    /// The name of the file.
    pub(super) fn origin(&self) -> String {
        self.file.display().to_string()
    }

    /// The errors since this was last asked for, in the order of the lines.
    pub(super) fn take_errors(&self) -> Vec<ConfigError> {
        let mut errors = self.errors.take();
        errors.sort_by_key(ConfigError::line);
        errors
    }
}

/// Entries in the order of the file.
pub(super) fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// How much of a value is quoted in a message.
const EXCERPT_CHARS: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_one_short_line() {
        let long = "x".repeat(100);
        let text = format!("one\ntwo\n{long}");
        let diagnostics = Diagnostics::new(Path::new("p.toml"), &text);
        assert_eq!(diagnostics.excerpt(0..3), "one");
        assert_eq!(diagnostics.excerpt(0..7), "one...");
        assert_eq!(diagnostics.excerpt(8..108), format!("{}...", "x".repeat(72)));
        assert_eq!(diagnostics.place(4).to_string(), "p.toml:2");
        assert!(diagnostics.take_errors().is_empty());
    }
}
