//! House rules of the whole repository, as tests: who may use whom, where `unsafe` may stand, how
//! long things may grow, and that every counter counts.
//!
//! Lists of exceptions are ratchets: an entry may be lowered or taken out, never raised.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use toml::{Table, Value};
use tree::{Source, attributes, code_only, functions, root, shipped_paths, sources, words};
use tree::{imports, promises, steps, vocabulary};

/// Allowed arrows between our crates: what each may have in `[dependencies]`.
const ARROWS: &[(&str, &[&str])] = &[
    ("dpdk-sys", &[]),
    ("http1", &[]),
    ("engine", &["http1"]),
    ("compress", &[]),
    ("handlers", &["compress", "http1"]),
    ("dpdk", &["dpdk-sys", "engine"]),
    // Not shipped: the tests' other wire, with services and clients of its own.
    ("sim", &["engine", "http1", "testkit"]),
    // Not shipped: what tests share, built of none of what they test.
    ("testkit", &[]),
    ("control", &["dpdk", "engine", "handlers", "http1"]),
];

/// What each may have in `[dev-dependencies]` besides.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("sim", &["dpdk", "handlers"]),
    ("engine", &["sim"]),
    ("handlers", &["http1", "testkit"]),
    ("dpdk", &["testkit"]),
    ("control", &["sim", "testkit"]),
];

/// Crates of others that only these of ours may name outside tests.
const RESERVED: &[(&str, &[&str])] = &[
    ("smoltcp", &["engine", "sim"]),
    // Splits heads: requests in shipped code, responses in tests.
    ("httparse", &["http1", "testkit"]),
    ("tokio", &["control"]),
    ("clap", &["control"]),
    ("clap_complete", &["control"]),
    ("clap_mangen", &["control"]),
    ("ratatui", &["control"]),
    ("rusqlite", &["control"]),
    ("tokio-postgres", &["control"]),
    // The data path counts; it has nothing to write a log with.
    ("tracing", &["control"]),
    ("tracing-subscriber", &["control"]),
    ("log", &[]),
    // Only the control plane talks to the service manager.
    ("sd-notify", &["control"]),
    ("tun-rs", &["control"]),
    ("hyper", &["control"]),
    ("prometheus-client", &["control"]),
    ("netlink-packet-core", &["control"]),
    ("netlink-packet-route", &["control"]),
    ("netlink-sys", &["control"]),
    ("hugepage-rs", &["dpdk"]),
    ("derive_more", &["control", "engine", "handlers", "http1", "sim"]),
    ("strum", &["control", "handlers"]),
    ("time", &["control", "http1"]),
    ("bindgen", &["dpdk-sys"]),
];

/// Crates that say `#![forbid(unsafe_code)]`.
const FORBID_UNSAFE: &[&str] = &[
    "dataplane/http1/src/lib.rs",
    "dataplane/engine/src/lib.rs",
    "dataplane/testkit/src/lib.rs",
    "handlers/src/lib.rs",
    "control/src/main.rs",
];

/// Where `unsafe` may stand.
const UNSAFE_IN: &[&str] = &["dataplane/dpdk/", "dataplane/dpdk-sys/"];

/// Where `pollux` starts other programs: `doctor` asks for packages, `nic bind` has a watchdog.
const STARTS_PROGRAMS: &[&str] = &["control/src/host.rs", "control/src/nic/watchdog.rs"];

/// What writes to standard error or output.
const WRITES: &[&str] = &["println!", "print!", "dbg!", "stderr()", "stdout()"];

/// The names of the shell scripts that messages tell the operator to run, and the one file that has them.
const SCRIPTS: (&[&str], &str) = (&["hugepages.sh", "link.sh"], "control/src/scripts.rs");

/// Files longer than [`FILE_LINES_MAX`], with their length today.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions longer than [`FUNCTION_LINES_MAX`], with their length today.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// Imports that are not looked at when circles are looked for: each is one half of a circle still to be broken.
const CIRCLES: &[(&str, &str)] = &[];

/// Imports that must be found for the look at circles to mean anything: by name, by path, through a re-export.
const FOUND: &[(&str, &str)] = &[
    ("control/src/serve.rs", "control/src/launch.rs"),
    ("control/src/serve.rs", "control/src/config/plan.rs"),
    ("dataplane/engine/src/worker/segments.rs", "dataplane/engine/src/wire/filter.rs"),
    ("handlers/src/site.rs", "handlers/src/response/mod.rs"),
];

/// Lines of a file, its tests aside.
const FILE_LINES_MAX: usize = 600;

/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn crates_use_only_what_the_design_lets_them() {
    let manifests = manifests();
    let names: Vec<&str> = manifests.keys().map(String::as_str).collect();
    let listed: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for name in &names {
        assert!(listed.contains(name), "crate {name} has no line in ARROWS");
    }
    let mut faults = Vec::new();
    for (name, manifest) in &manifests {
        let arrows = allowed(ARROWS, name);
        let tests = allowed(TEST_ARROWS, name);
        for (section, lists) in
            [("dependencies", vec![arrows]), ("dev-dependencies", vec![arrows, tests])]
        {
            for used in uses(manifest, section).filter(|used| names.contains(&used.as_str())) {
                if !lists.iter().any(|list| list.contains(&used.as_str())) {
                    faults.push(format!("{name} -> {used} in [{section}]"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "forbidden arrows: {faults:#?}");
}

#[test]
fn crates_of_others_stay_where_they_belong() {
    let mut faults = Vec::new();
    for (name, manifest) in manifests() {
        for used in uses(&manifest, "dependencies") {
            let owner = RESERVED.iter().find(|(reserved, _)| *reserved == used);
            if owner.is_some_and(|(_, owners)| !owners.contains(&name.as_str())) {
                faults.push(format!("{name} -> {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "these belong to other crates: {faults:#?}");
}

#[test]
fn unsafe_stands_only_in_the_dpdk_crates() {
    for path in FORBID_UNSAFE {
        let text = fs::read_to_string(root().join(path)).expect(path);
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path} must forbid unsafe code");
    }
    let faults = code_lines(|source, line| {
        !UNSAFE_IN.iter().any(|place| source.path.starts_with(place))
            && words(line).any(|word| word == "unsafe")
    });
    assert!(faults.is_empty(), "`unsafe` outside of {UNSAFE_IN:?}: {faults:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if words(line).any(|word| notes.contains(&word)) {
                faults.push(format!("{}:{}: {line}", source.path, number + 1));
            }
        }
    }
    faults.extend(code_lines(|_, line| {
        ["#[ignore", "todo!(", "unimplemented!(", "dbg!("].iter().any(|late| line.contains(late))
    }));
    assert!(faults.is_empty(), "finish these, or file an issue: {faults:#?}");
}

/// What tests share is a crate of its own, `testkit`; a module that several binaries include, and of which
/// each uses a part, would have to be excused from the lint.
#[test]
fn tests_excuse_no_dead_code() {
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_test() || source.path.starts_with("dataplane/testkit/"))
        .filter(|source| {
            let code = code_only(&source.text);
            attributes(&code).any(|attribute| words(attribute).any(|word| word == "dead_code"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert!(faults.is_empty(), "`dead_code` is allowed or expected in these: {faults:#?}");
}

#[test]
fn files_open_with_their_contract_and_are_named_by_a_noun() {
    let mut faults = Vec::new();
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        if ["utils.rs", "util.rs", "common.rs", "misc.rs", "types.rs", "helpers.rs"].contains(&name)
        {
            faults.push(format!("{}: says nothing of what it is", source.path));
        }
        let test = source.path.contains("/tests") || source.path.contains("/examples/");
        if !test && !source.text.starts_with("//!") {
            faults.push(format!("{}: does not open with `//!`", source.path));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for source in sources() {
        let lines = source.shipped().lines().count();
        if !source.is_test() && lines > FILE_LINES_MAX {
            long.push((source.path, lines));
        }
    }
    let listed: Vec<_> = LONG_FILES.iter().map(|(path, n)| ((*path).to_owned(), *n)).collect();
    assert_eq!(long, listed, "found on the left, LONG_FILES on the right");
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    for source in sources().into_iter().filter(|source| !source.is_test()) {
        for (name, lines) in functions(&code_only(source.shipped())) {
            if lines > FUNCTION_LINES_MAX {
                long.push((source.path.clone(), name, lines));
            }
        }
    }
    let listed: Vec<_> = LONG_FUNCTIONS
        .iter()
        .map(|(path, name, n)| ((*path).to_owned(), (*name).to_owned(), *n))
        .collect();
    assert_eq!(long, listed, "found on the left, LONG_FUNCTIONS on the right");
}

#[test]
fn files_of_a_crate_form_no_circles() {
    let mut arrows = imports::arrows(&sources());
    for (from, to) in FOUND {
        assert!(arrows.contains(&((*from).to_owned(), (*to).to_owned())), "{from} -> {to}");
    }
    for (from, to) in CIRCLES {
        let listed = arrows.remove(&((*from).to_owned(), (*to).to_owned()));
        assert!(listed, "{from} no longer takes anything from {to}: take the line out of CIRCLES");
    }
    let circles = imports::circles(&arrows);
    let within = |circle: &BTreeSet<&str>| {
        let inside = |(from, to): &&(String, String)| {
            circle.contains(from.as_str()) && circle.contains(to.as_str())
        };
        arrows.iter().filter(inside).map(|(from, to)| format!("{from} -> {to}")).collect::<Vec<_>>()
    };
    let found: Vec<Vec<String>> = circles.iter().map(within).collect();
    assert!(
        found.is_empty(),
        "each takes names from the next, and at last from itself: {found:#?}"
    );
}

#[test]
fn only_the_stack_names_smoltcps_interface() {
    let faults = code_lines(|source, line| {
        source.path.starts_with("dataplane/engine/src/")
            && !source.path.starts_with("dataplane/engine/src/tcp/stack")
            && words(line).any(|word| word == "SocketSet" || word == "Interface")
    });
    assert!(faults.is_empty(), "these belong into engine/src/tcp/stack.rs: {faults:#?}");
}

#[test]
fn serving_starts_no_programs() {
    let faults = code_lines(|source, line| {
        source.path.starts_with("control/src/")
            && !STARTS_PROGRAMS.contains(&source.path.as_str())
            && !source.is_test()
            && source.shipped().contains("process::Command")
            && line.contains("Command::new")
    });
    assert!(faults.is_empty(), "a child would inherit NOTIFY_SOCKET: {faults:#?}");
}

/// Doc comments count in the crate `dpdk`, where they are the text of errors. `testkit` runs the scripts of
/// the repository and speaks to nobody who has them installed.
#[test]
fn messages_name_scripts_as_they_are_installed() {
    let (names, owner) = SCRIPTS;
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| source.path != owner && !source.is_test())
        .filter(|source| !source.path.starts_with("dataplane/testkit/"))
        .flat_map(|source| {
            let shown = |line: &&str| {
                !line.trim_start().starts_with("//") || source.path.starts_with("dataplane/dpdk/")
            };
            let named = |line: &&str| names.iter().any(|name| line.contains(name));
            let lines = source.shipped().lines().filter(shown).filter(named);
            lines.map(|line| format!("{}: {}", source.path, line.trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{owner} knows what it is called on this machine: {faults:#?}");
}

#[test]
fn the_data_path_writes_no_log() {
    const SILENT: &[&str] = &["dataplane/engine/src/", "dataplane/http1/src/", "handlers/src/"];
    let faults: Vec<_> = sources()
        .into_iter()
        .filter(|source| SILENT.iter().any(|place| source.path.starts_with(place)))
        .filter(|source| !source.is_test())
        .flat_map(|source| {
            let code = code_only(source.shipped());
            let bad = |line: &&str| WRITES.iter().any(|writes| line.contains(writes));
            let lines = code.lines().filter(bad).map(|line| format!("{}: {line}", source.path));
            lines.collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "count it, or send an Event: {faults:#?}");
}

/// `println!` and its like panic where nothing can be written, and a panic ends the server. What a command prints goes
/// through `control/src/output.rs`, what a server says through the log.
#[test]
fn nothing_that_is_shipped_prints_by_a_macro() {
    let tests_only = ["dataplane/testkit/", "dataplane/sim/"];
    let mut faults = Vec::new();
    for source in sources() {
        let shipped = source.path.contains("/src/") && !source.is_test();
        if !shipped || tests_only.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        let code = code_only(source.shipped());
        let bad = |line: &&str| ["println!", "print!"].iter().any(|print| line.contains(print));
        faults.extend(code.lines().filter(bad).map(|line| format!("{}: {line}", source.path)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn names_have_the_words_of_the_field() {
    let shipped: Vec<Source> = sources()
        .into_iter()
        .filter(|source| source.path.contains("/src/") && !source.is_test())
        .collect();
    let example = fs::read_to_string(root().join("control/pollux.example.toml")).expect("readable");
    let example: Table = example.parse().expect("is TOML");
    let keys: Vec<String> = example
        .iter()
        .filter_map(|(section, keys)| Some((section, keys.as_table()?)))
        .flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}")))
        .collect();
    assert!(keys.iter().any(|key| key == "deadlines.response"), "the example has the keys");
    let refused = vocabulary::refusals(&shipped, &shipped_paths(), &keys);
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_promise_names_its_test() {
    let without = promises::without_test(&sources());
    assert!(without.is_empty(), "{}", without.join("\n"));
}

#[test]
fn every_test_is_run_by_one_step() {
    let left_out = steps::left_out(&sources());
    assert!(left_out.is_empty(), "{}", left_out.join("\n"));
}

#[test]
fn every_counter_counts() {
    let engine: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("dataplane/engine/src/") && !source.is_test())
        .map(|source| (source.path.clone(), code_only(source.shipped())))
        .collect();
    let (_, stats) = engine
        .iter()
        .find(|(path, _)| path.ends_with("/stats.rs"))
        .expect("engine/src/stats.rs declares the counters");
    let declared = counters(stats);
    assert!(declared.len() > 20, "found only {declared:?}");
    let used: String = engine.iter().map(|(_, text)| text.as_str()).collect();
    let idle: Vec<_> = declared
        .iter()
        .filter(|name| words(&used).filter(|word| word == *name).count() < 2)
        .collect();
    assert!(idle.is_empty(), "declared in stats.rs, counted nowhere: {idle:#?}");
}

/// Names declared as `name: Total, ..` or `name: Level, ..`.
fn counters(stats: &str) -> Vec<String> {
    let declaration = |line: &str| {
        let (name, kind) = line.trim().split_once(": ")?;
        let counter = kind.starts_with("Total,") || kind.starts_with("Level,");
        counter.then(|| name.to_owned())
    };
    stats.lines().filter_map(declaration).collect()
}

/// `path:line: text` of every line of code (comments and strings blanked) for which `fault` holds.
fn code_lines(fault: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in code_only(&source.text).lines().enumerate() {
            if fault(&source, line) {
                faults.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    faults
}

/// Manifests of the members of the workspace, by package name.
fn manifests() -> BTreeMap<String, Table> {
    let read = |path: &str| -> Table {
        let text = fs::read_to_string(root().join(path)).expect(path);
        text.parse().expect(path)
    };
    let workspace = read("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    members
        .iter()
        .map(|member| {
            let path = member.as_str().expect("a member is a path");
            let manifest = read(&format!("{path}/Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("a package has a name");
            (name.to_owned(), manifest)
        })
        .collect()
}

fn uses(manifest: &Table, section: &str) -> impl Iterator<Item = String> {
    let names: Vec<String> = manifest
        .get(section)
        .and_then(Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default();
    names.into_iter()
}

fn allowed(list: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    list.iter().find(|(of, _)| *of == name).map_or(&[], |(_, allowed)| allowed)
}
