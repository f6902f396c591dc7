//! Which file of a crate takes names from which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, code_only};

/// An import: the file that takes a name, and the file that has it.
pub(crate) type Arrow = (String, String);

/// Path segments of a module below its crate's root.
type Module = Vec<String>;

/// One file of a crate: what it declares, re-exports and names.
#[derive(Default)]
struct File {
    path: String,
    code: String,
    children: BTreeSet<String>,
    /// Names that its `use` lines bind, and what each stands for.
    bound: BTreeMap<String, Vec<String>>,
    /// `code` without the `pub use` lines, which pass a name on and do not use it.
    uses: String,
}

/// The files of one crate by module.
struct Crate(BTreeMap<Module, File>);

/// Every import between files of one crate, test code aside. A name is followed through re-exports to the
/// file that defines it.
pub(crate) fn arrows(sources: &[Source]) -> BTreeSet<Arrow> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if let Some((name, _)) = source.path.split_once("/src/") {
            crates.entry(name).or_default().push(source);
        }
    }
    crates.values().flat_map(|files| Crate::read(files).arrows()).collect()
}

/// Groups of files that all take names from one another, directly or through others of the group.
pub(crate) fn circles(arrows: &BTreeSet<Arrow>) -> Vec<BTreeSet<&str>> {
    let nodes: BTreeSet<&str> = arrows.iter().map(|(from, _)| from.as_str()).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        nodes.iter().map(|node| (*node, reached_from(node, arrows))).collect();
    let mut found: Vec<BTreeSet<&str>> = Vec::new();
    for node in &nodes {
        let circle: BTreeSet<&str> = reached[node]
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(node)))
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reached_from<'a>(start: &str, arrows: &'a BTreeSet<Arrow>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&str> = vec![start];
    while let Some(node) = waiting.pop() {
        for (_, to) in arrows.iter().filter(|(from, _)| from == node) {
            if reached.insert(to.as_str()) {
                waiting.push(to);
            }
        }
    }
    reached
}

impl Crate {
    fn read(sources: &[&Source]) -> Self {
        let mut files: BTreeMap<Module, File> = BTreeMap::new();
        for source in sources {
            let code = without_scopes(&code_only(source.shipped()));
            let file = File { path: source.path.clone(), code, ..File::default() };
            files.insert(module(&source.path), file);
        }
        let modules: Vec<Module> = files.keys().cloned().collect();
        for (module, file) in &mut files {
            let is_child = |other: &&Module| {
                other.split_last().is_some_and(|(_, parent)| parent == module.as_slice())
            };
            file.children =
                modules.iter().filter(is_child).filter_map(|child| child.last().cloned()).collect();
            file.bound = imports(&file.code).into_iter().collect();
            file.uses = without_exports(&file.code);
        }
        let for_tests = files.iter().flat_map(|(module, file)| test_modules(module, &file.code));
        for excluded in for_tests.collect::<Vec<_>>() {
            files.retain(|module, _| !module.starts_with(&excluded));
        }
        Self(files)
    }

    fn arrows(&self) -> BTreeSet<Arrow> {
        let mut found = BTreeSet::new();
        for (module, file) in &self.0 {
            let imported = imports(&file.uses).into_iter().map(|(_, path)| path);
            let named = imported.chain(paths(&without_declarations(&file.uses)));
            for path in named {
                if let Some(to) = self.defined_in(module, &path, 0).filter(|to| *to != file.path) {
                    found.insert((file.path.clone(), to));
                }
            }
        }
        found
    }

    /// The file that defines what `path`, written in `module`, names; `None` for names from elsewhere.
    fn defined_in(&self, module: &Module, path: &[String], depth: usize) -> Option<String> {
        let file = self.0.get(module)?;
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Module::new(), rest),
            "self" => (module.clone(), rest),
            "super" => (module.split_last()?.1.to_vec(), rest),
            child if file.children.contains(child) => (module.clone(), path),
            _ => return None,
        };
        while let Some((next, after)) = rest.split_first() {
            let here = self.0.get(&at)?;
            if next == "super" {
                at.pop()?;
            } else if here.children.contains(next) {
                at.push(next.clone());
            } else {
                let of_another = here.bound.get(next).filter(|_| depth < 8);
                let followed = of_another.and_then(|path| self.defined_in(&at, path, depth + 1));
                return followed.or_else(|| Some(here.path.clone()));
            }
            rest = after;
        }
        self.0.get(&at).map(|file| file.path.clone())
    }
}

fn module(path: &str) -> Module {
    let (_, below) = path.split_once("/src/").expect("a source of a crate");
    let mut parts: Module = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Modules that are declared for tests only.
fn test_modules(parent: &Module, code: &str) -> Vec<Module> {
    let declared = code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let (name, _) = after.trim_start().strip_prefix("mod ")?.split_once(';')?;
        Some(parent.iter().cloned().chain([name.to_owned()]).collect())
    });
    declared.collect()
}

/// `code` with every `pub(in path)` as `pub`: it names a module and takes nothing from it.
fn without_scopes(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |left, part| left + "pub" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// `code` without `pub use ...;` and `pub(crate) use ...;`.
fn without_exports(code: &str) -> String {
    without(code, |declaration| declaration.starts_with("pub"))
}

/// `code` without any `use ...;`.
fn without_declarations(code: &str) -> String {
    without(code, |_| true)
}

/// `code` without the `use` declarations that are `unwanted`.
fn without(code: &str, unwanted: impl Fn(&str) -> bool) -> String {
    let mut left = String::with_capacity(code.len());
    let mut inside = false;
    for line in code.split_inclusive('\n') {
        let declaration = line.trim_start();
        let starts = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|opening| declaration.starts_with(opening));
        inside |= starts && unwanted(declaration);
        if !inside {
            left.push_str(line);
        }
        inside &= !line.contains(';');
    }
    left
}

/// The names that the `use` declarations of `code` bind, and what each stands for.
fn imports(code: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let starts = code[..at].chars().next_back().is_none_or(char::is_whitespace);
        if let Some(end) = code[at..].find(';').filter(|_| starts) {
            let tree: String =
                code[at + 4..at + end].split_whitespace().collect::<Vec<_>>().join(" ");
            expand(&tree, &[], &mut found);
        }
    }
    found
}

/// Takes a `use` tree apart: `a::{b, c as d}` binds `b` and `d`.
fn expand(tree: &str, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    if let Some((prefix, list)) = tree.split_once('{') {
        let before: Vec<String> = before.iter().cloned().chain(segments(prefix)).collect();
        let list = list.strip_suffix('}').unwrap_or(list);
        for part in at_top_level(list) {
            expand(part, &before, found);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path: Vec<String> = before.iter().cloned().chain(segments(path)).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self" || last == "*") {
        path.pop();
    }
    let name = if alias.is_empty() || alias == "_" { path.last() } else { Some(&alias.to_owned()) };
    if let Some(name) = name.cloned() {
        found.push((name, path));
    }
}

/// `list` cut at the commas that no brace encloses.
fn at_top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn segments(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}

/// Every path of two segments or more in `code`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(|c: char| !in_path(c))
        .filter(|path| path.contains("::") && !path.starts_with(':'))
        .map(|path| segments(path).collect::<Vec<_>>())
        .filter(|path| !path.is_empty())
        .collect()
}

#[test]
fn imports_are_followed_to_the_file_that_defines_the_name() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        source("c/src/lib.rs", "mod a;\nmod b;\npub use a::{One, inner::Two as Second};\n"),
        source("c/src/a.rs", "mod inner;\n#[cfg(test)]\nmod kit;\npub struct One;\n"),
        source("c/src/a/inner.rs", "pub struct Two; fn f() { super::super::b::g() }\n"),
        source("c/src/a/kit.rs", "use crate::b::Three;\n"),
        source("c/src/b.rs", "use crate::{One, Second};\nuse std::fmt;\npub fn g() {}\n"),
    ];
    let arrows = arrows(&sources);
    let arrow = |from: &str, to: &str| (format!("c/src/{from}"), format!("c/src/{to}"));
    let expected = BTreeSet::from([
        arrow("a/inner.rs", "b.rs"),
        arrow("b.rs", "a.rs"),
        arrow("b.rs", "a/inner.rs"),
    ]);
    assert_eq!(arrows, expected);
    assert_eq!(circles(&arrows), [BTreeSet::from(["c/src/a/inner.rs", "c/src/b.rs"])]);
}
