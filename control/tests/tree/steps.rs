//! Which step of `deploy/test.sh` runs which tests.

use std::fs;

use super::{Source, root};

/// Targets of cargo with tests that not exactly one of the two steps names, and code in doc comments, which no step
/// runs.
pub(crate) fn left_out(sources: &[Source]) -> Vec<String> {
    let script = fs::read_to_string(root().join("deploy/test.sh")).expect("deploy/test.sh");
    let named: Vec<&str> = ["MACHINE_TESTS=(", "LIBRARY_TESTS=("]
        .into_iter()
        .flat_map(|list| {
            let (_, rest) = script.split_once(list).expect("test.sh lists its targets");
            rest.split_once(')').expect("a list has an end").0.split_whitespace()
        })
        .collect();
    let mut problems = Vec::new();
    for target in targets(sources) {
        let count = named.iter().filter(|name| **name == target).count();
        if count != 1 {
            problems
                .push(format!("{target} is in {count} of the lists of deploy/test.sh, not in one"));
        }
    }
    for source in sources.iter().filter(|source| !source.is_test()) {
        for line in doc_tests(&source.text) {
            problems.push(format!("{}:{line}: code in a doc comment is not run", source.path));
        }
    }
    problems
}

/// The targets as cargo's options name them: `--lib`, or what follows `--bin` and `--test`.
fn targets(sources: &[Source]) -> Vec<String> {
    let mut targets: Vec<String> = vec!["--lib".into(), "pollux".into()];
    for source in sources {
        let Some((_, below)) = source.path.split_once("/tests/") else { continue };
        if source.path.contains("/src/") {
            continue;
        }
        match below.split_once('/') {
            None => targets.push(below.trim_end_matches(".rs").to_owned()),
            Some((name, "main.rs")) => targets.push(name.to_owned()),
            Some(_) => {}
        }
    }
    targets
}

/// The lines, from 1, with a fence in a doc comment that rustdoc takes for Rust: one that says nothing, or `rust`.
fn doc_tests(text: &str) -> Vec<usize> {
    let fences = text.lines().enumerate().filter_map(|(number, line)| {
        let comment = line.trim_start();
        let text = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!"))?;
        Some((number + 1, text.trim().strip_prefix("```")?))
    });
    // Every other one closes what is open.
    let opening = fences.step_by(2);
    let rust = opening.filter(|(_, kind)| kind.is_empty() || kind.starts_with("rust"));
    rust.map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_files_of_tests_and_their_folders() {
        let source = |path: &str| Source { path: path.into(), text: String::new() };
        let sources =
            ["a/tests/one.rs", "a/tests/two/main.rs", "a/tests/two/kit.rs", "a/src/tests/x.rs"];
        assert_eq!(targets(&sources.map(source)), ["--lib", "pollux", "one", "two"]);
    }

    #[test]
    fn only_fences_of_rust_are_doc_tests() {
        assert_eq!(doc_tests("/// ```\n/// x\n/// ```\n//! ```rust,no_run\n//! ```\n"), [1, 4]);
        assert_eq!(doc_tests("/// ```text\n/// ```\n"), []);
    }
}
