//! A path as configured: `/a/b`, `/a/{x}/b`, and whether everything below it belongs to it.
//!
//! Parsed once; what is wrong with one is said as problem and fix.

use std::fmt;

use http1::path::{self, PathError};

use crate::request::CAPTURES_MAX;

/// A path of one or more segments, with or without captures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    /// The segments between slashes, the last one empty for `/a/`. Of `/a/` with everything below
    /// it that last one is left out.
    pub(crate) segments: Vec<Segment>,
    /// Whether what is below belongs to it.
    pub(crate) below: bool,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// This text and no other.
    Text(String),
    /// Any text but the empty one, under a name.
    Capture(String),
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatternError {
    /// The problem.
    pub(crate) problem: &'static str,
    /// What to write instead.
    pub(crate) fix: &'static str,
}

impl Pattern {
    /// Reads a path as an operator writes it.
    pub(crate) fn parse(path: &str, below: bool) -> Result<Self, PatternError> {
        let error = |problem, fix| Err(PatternError { problem, fix });
        let Some(inner) = path.strip_prefix('/') else {
            return error("does not begin with a slash", "write /NAME");
        };
        if path.len() > PATH_LEN_MAX {
            return error("is longer than 1024 bytes", "shorten it");
        }
        if below && !path.ends_with('/') {
            return error("stands for what is below it", "let it end in a slash");
        }
        if path.contains(['?', '#']) {
            return error("has a query or a fragment", "write the path alone");
        }
        match path::decode(path.as_bytes(), &mut [0; PATH_LEN_MAX]) {
            Ok(plain) if plain == path.as_bytes() => {}
            Err(PathError::DotSegment) => {
                return error("has a dot segment", "write the path that it leads to");
            }
            Err(PathError::Forbidden) if !path.contains('%') => {
                return error("has a backslash or a control character", "leave it out");
            }
            Ok(_) | Err(_) => return error("has an escape", "write the byte that it stands for"),
        }
        let mut segments =
            inner.split('/').map(Segment::parse).collect::<Result<Vec<_>, PatternError>>()?;
        let last = segments.len() - 1;
        let is_empty = |segment: &Segment| *segment == Segment::Text(String::new());
        if segments[..last].iter().any(is_empty) {
            return error("has two slashes in a row", "write one");
        }
        if below {
            segments.pop();
        }
        let pattern = Self { segments, below };
        let names: Vec<_> = pattern.captures().collect();
        if names.len() > CAPTURES_MAX {
            return error("has more than 4 parameters", "leave some to the query");
        }
        if (1..names.len()).any(|at| names[..at].contains(&names[at])) {
            return error("has one parameter twice", "give each its own name");
        }
        if (pattern.below || !names.is_empty()) && pattern.segments.len() > SEGMENTS_MAX {
            return error("has more than 64 segments", "shorten it");
        }
        Ok(pattern)
    }

    /// The pattern of a path that is known to be sound, braces and all.
    pub(crate) fn exactly(path: &str) -> Self {
        let inner = path.strip_prefix('/').unwrap_or(path);
        let segments = inner.split('/').map(|text| Segment::Text(text.into())).collect();
        Self { segments, below: false }
    }

    /// Names of the captures, in order.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The one path that this is, if it is one.
    pub(crate) fn exact(&self) -> Option<String> {
        let is_exact = !self.below && self.captures().next().is_none();
        is_exact.then(|| self.to_string())
    }

    /// The same path with the names of its captures left out: what two routes may not share.
    pub(crate) fn shape(&self) -> Self {
        let nameless = |segment: &Segment| match segment {
            Segment::Text(_) => segment.clone(),
            Segment::Capture(_) => Segment::Capture(String::new()),
        };
        Self { segments: self.segments.iter().map(nameless).collect(), below: self.below }
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name {
            None if text.contains(['{', '}']) => Err(PatternError {
                problem: "has a brace within a segment",
                fix: "let a parameter be a whole segment: /{name}/",
            }),
            None => Ok(Self::Text(text.into())),
            Some(name) if is_name(name) => Ok(Self::Capture(name.into())),
            Some(_) => Err(PatternError {
                problem: "has a parameter without a proper name",
                fix: "name it with letters, digits and underscores, a letter first",
            }),
        }
    }
}

/// Whether a text may name a parameter.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => write!(f, "/{text}")?,
                Segment::Capture(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.below { f.write_str("/") } else { Ok(()) }
    }
}

/// The longest path, escapes decoded, that a router may hold.
pub(crate) const PATH_LEN_MAX: usize = 1024;

/// Segments of a path that is matched one by one: bounds the depth of the search.
const SEGMENTS_MAX: usize = 64;

const _: () = assert!(PATH_LEN_MAX == 1024, "a message above says so");
const _: () = assert!(CAPTURES_MAX == 4, "a message above says so");
const _: () = assert!(SEGMENTS_MAX == 64, "a message above says so");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let text = |text: &str| Segment::Text(text.into());
        let capture = |name: &str| Segment::Capture(name.into());
        for (path, below, segments) in [
            ("/", false, vec![text("")]),
            ("/", true, vec![]),
            ("/a", false, vec![text("a")]),
            ("/a/", false, vec![text("a"), text("")]),
            ("/a/", true, vec![text("a")]),
            ("/a/{x_1}/b", false, vec![text("a"), capture("x_1"), text("b")]),
            ("/{x}/", true, vec![capture("x")]),
            ("/x y/é", false, vec![text("x y"), text("é")]),
        ] {
            let pattern = Pattern::parse(path, below).expect(path);
            assert_eq!(pattern, Pattern { segments, below }, "{path}");
            assert_eq!(pattern.to_string(), path);
        }
        let exact = |path, below| Pattern::parse(path, below).expect(path).exact();
        assert_eq!(exact("/a/b", false).as_deref(), Some("/a/b"));
        assert_eq!(exact("/", false).as_deref(), Some("/"));
        assert_eq!(exact("/", true), None);
        assert_eq!(exact("/{a}", false), None);
    }

    #[test]
    fn what_is_no_path_is_explained() {
        let deep = format!("/{{x}}{}", "/a".repeat(64));
        let long = format!("/{}", "x".repeat(1024));
        for (path, below, problem) in [
            ("", false, "does not begin with a slash"),
            ("a", false, "does not begin with a slash"),
            (&long, false, "is longer than 1024 bytes"),
            ("/a", true, "stands for what is below it"),
            ("/a?b", false, "has a query or a fragment"),
            ("/a#b", false, "has a query or a fragment"),
            ("/a/../b", false, "has a dot segment"),
            ("/.", false, "has a dot segment"),
            ("/a\\b", false, "has a backslash or a control character"),
            ("/a\n", false, "has a backslash or a control character"),
            ("/a%20b", false, "has an escape"),
            ("/100%", false, "has an escape"),
            ("/a%2fb", false, "has an escape"),
            ("/a//b", false, "has two slashes in a row"),
            ("//", false, "has two slashes in a row"),
            ("/a//", true, "has two slashes in a row"),
            ("/a{x}", false, "has a brace within a segment"),
            ("/{x", false, "has a brace within a segment"),
            ("/{}", false, "has a parameter without a proper name"),
            ("/{1a}", false, "has a parameter without a proper name"),
            ("/{a-b}", false, "has a parameter without a proper name"),
            ("/{a}/{b}/{a}", false, "has one parameter twice"),
            ("/{a}/{b}/{c}/{d}/{e}", false, "has more than 4 parameters"),
            (&deep, false, "has more than 64 segments"),
        ] {
            let error = Pattern::parse(path, below).expect_err(path);
            assert_eq!(error.problem, problem, "{path}");
        }
    }
}
