//! The Rust sources of the repository, and just enough of a lexer to tell code from comments.

pub(crate) mod imports;
pub(crate) mod promises;
pub(crate) mod steps;
pub(crate) mod vocabulary;

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// Path below the root, separated by `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// The part before the module of unit tests.
    pub(crate) fn shipped(&self) -> &str {
        let for_tests = self.text.match_indices("#[cfg(test)]\n").find(|(at, attribute)| {
            let declared = &self.text[at + attribute.len()..];
            let line = declared.lines().next().unwrap_or_default();
            words(line).any(|word| word == "mod") && line.ends_with('{')
        });
        &self.text[..for_tests.map_or(self.text.len(), |(at, _)| at)]
    }

    /// Whether the whole file is tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("control has a parent").to_owned()
}

/// Every `.rs` file of the workspace, by path.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["control", "dataplane", "handlers"] {
        walk(&root().join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the walk finds the sources");
    found
}

/// Every file that ships or builds what ships, by path: all but tests.
pub(crate) fn shipped_paths() -> Vec<String> {
    let mut folders: Vec<PathBuf> =
        ["control", "dataplane", "deploy", "handlers"].map(|folder| root().join(folder)).into();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable folder") {
            let path = entry.expect("readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8 name");
            if name.starts_with('.') || ["target", "tests"].contains(&name) {
                continue;
            }
            let below = path.strip_prefix(root()).expect("below the root");
            let below = below.to_str().expect("UTF-8 path").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(below);
            }
        }
    }
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8 name");
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if name.ends_with(".rs") {
            let below = path.strip_prefix(root()).expect("below the root");
            found.push(Source {
                path: below.to_str().expect("UTF-8 path").to_owned(),
                text: fs::read_to_string(&path).expect("readable source"),
            });
        }
    }
}

/// `text` with comments, strings and character literals blanked; lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blanked = comment_len(rest).or_else(|| string_len(rest)).or_else(|| char_len(rest));
        let identifier = first.is_alphanumeric() || first == '_';
        match blanked {
            Some(len) => {
                out.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[len..];
            }
            // An identifier goes as a whole, lest its last letter look like the `r` of a raw string.
            None if identifier => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
                out.push_str(&rest[..len]);
                rest = &rest[len..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn comment_len(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |end| end + 2))
}

fn string_len(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""]
        .into_iter()
        .find(|prefix| text.starts_with(prefix) && text[prefix.len()..].starts_with(['"', '#']))?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let open = hashes + 1;
        if !body[hashes..].starts_with('"') {
            return None;
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body[open..].find(&close).map_or(body.len(), |end| open + end + close.len());
        return Some(prefix.len() + end);
    }
    if !body.starts_with('"') {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Some(prefix.len() + at + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Some(text.len())
}

/// `'x'`, `'\n'`, `b'x'`; a lifetime is not one.
fn char_len(text: &str) -> Option<usize> {
    let prefix = usize::from(text.starts_with("b'"));
    let body = text[prefix..].strip_prefix('\'')?;
    let end = if body.starts_with('\\') {
        2 + body.get(2..)?.find('\'')?
    } else {
        let c = body.chars().next()?;
        body[c.len_utf8()..].starts_with('\'').then_some(c.len_utf8())?
    };
    Some(prefix + 1 + end + 1)
}

/// The words of code: names, keywords and numbers.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// What stands in the attributes of `code` (as [`code_only`] gives it), inner and outer ones.
pub(crate) fn attributes(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices('#').filter_map(|(at, _)| {
        let rest = &code[at + 1..];
        let inside = rest.strip_prefix("![").or_else(|| rest.strip_prefix('['))?;
        let mut depth = 1_usize;
        let end = inside.find(|c| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        Some(&inside[..end])
    })
}

/// Name and length in lines of every function with a body in `code` (as [`code_only`] gives it).
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let open = body_start(&code[at..]);
        let (true, false, Some(open)) = (starts_word, name.is_empty(), open) else { continue };
        let len = open + braces_len(&code[at + open..]);
        found.push((name, code[at..at + len].lines().count()));
    }
    found
}

/// Where the body of the function that `code` begins with opens; `None` if it has none.
fn body_start(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn braces_len(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

#[test]
fn comments_and_strings_are_no_code() {
    let text =
        "let a = \"unsafe\"; // unsafe\nlet b = r#\"un\"safe\"#; /* unsafe */ let c = '\"';\n";
    let code = code_only(text);
    assert!(!code.contains("safe"), "{code}");
    assert_eq!(code.lines().count(), 2);
    assert!(code.contains("let c ="));
    assert_eq!(code_only("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    assert_eq!(code_only("b'\\'' 'x' '\\u{1F}' done").trim(), "done");
}

#[test]
fn attributes_are_found_whole() {
    let code = "#![allow(\n    dead_code,\n)]\n#[cfg(x)] fn f() -> [u8; 1] { [1] } #[a([b])]";
    let found: Vec<_> = attributes(code).collect();
    assert_eq!(found, ["allow(\n    dead_code,\n)", "cfg(x)", "a([b])"]);
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let code = "fn a() -> [u8; 1] { 1 }\ntrait T { fn b(); fn c() {\n\n} }\n";
    assert_eq!(functions(code), [("a".to_owned(), 1), ("c".to_owned(), 3)]);
}
