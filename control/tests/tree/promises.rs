//! What control/README promises, and the tests that it names for it.

use std::fs;

use super::{Source, root};

/// Lines of the page that name no test, or one that is not there.
pub(crate) fn without_test(sources: &[Source]) -> Vec<String> {
    let page = fs::read_to_string(root().join("control/README.md")).expect("control/README.md");
    let (_, section) = page.split_once("## What is promised\n").expect("the page has the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let promises: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(promises.len() > 10, "the table is found");
    let is_there = |name: &str| {
        let definition = format!("fn {name}()");
        sources.iter().any(|source| source.text.contains(&definition))
    };
    let mut problems = Vec::new();
    for promise in promises {
        let tests = promise.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names: Vec<_> = tests.split(", ").map(|name| name.trim_matches('`')).collect();
        for name in names {
            if !is_there(name) {
                problems.push(format!("no test {name:?} for: {promise}"));
            }
        }
    }
    problems
}
