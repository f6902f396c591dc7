use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::*;

fn of(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn message(name: &str, value: &str) -> String {
    let environment = of(&[(name, value)]);
    assert!(environment.keys.is_empty(), "{:?}", environment.keys);
    let messages: Vec<_> = environment.errors.iter().map(ToString::to_string).collect();
    messages.join("\n")
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    assert_eq!(Key::LimitsHalfOpen.variable(), "POLLUX_LIMITS_HALF_OPEN");
    let names: BTreeSet<_> = Key::ALL.iter().map(|key| key.variable()).collect();
    assert_eq!(names.len(), Key::ALL.len());
    for key in Key::ALL {
        let name = key.variable();
        assert_eq!(of(&[(&name, " 1 ")]).keys.get(key).map(String::as_str), Some("1"), "{name}");
        assert!(!RESERVED.contains(&name.as_str()), "{name}");
        assert!(!is_service_link(&name, OsStr::new("1")), "{name}");
    }
}

#[test]
fn an_empty_variable_and_those_of_others_are_absent() {
    let environment = of(&[
        ("POLLUX_LISTEN_PORT", ""),
        ("POLLUX_LISTEN_PROT", " "),
        ("DATABASE_URL", ""),
        ("PATH", "/bin"),
        ("MY_POLLUX_PORT", "1"),
        ("pollux_listen_port", "1"),
    ]);
    assert_eq!((environment.keys.len(), environment.errors.len()), (0, 0));
    assert_eq!(environment.database_url, None);
}

#[test]
fn a_name_of_no_key_is_a_mistake_that_says_what_to_write() {
    for (name, fix) in [
        ("POLLUX_LISTEN_PROT", "did you mean POLLUX_LISTEN_PORT?"),
        ("POLLUX_Listen_Port", "did you mean POLLUX_LISTEN_PORT?"),
        ("POLLUX_PORT", "did you mean POLLUX_LISTEN_PORT?"),
        ("POLLUX_DEADLINES_ANSWER", "its name is now POLLUX_DEADLINES_RESPONSE"),
        ("POLLUX_ADDRESS", "did you mean POLLUX_LINK_ADDRESS or POLLUX_LISTEN_ADDRESS?"),
        ("POLLUX_HALF_OPEN", "did you mean POLLUX_LIMITS_HALF_OPEN?"),
        ("POLLUX_ROUTE", "route is written in a file: name one with --config, and unset it"),
        (
            "POLLUX_ROUTES_0_PATH",
            "routes is written in a file: name one with --config, and unset it",
        ),
        (
            "POLLUX_STATEMENTS_ITEM",
            "statements is written in a file: name one with --config, and unset it",
        ),
        ("POLLUX_LOG_VOLUME_OF_IT", "POLLUX_LOG_ has LEVEL, FORMAT"),
    ] {
        assert_eq!(message(name, "s3cret"), format!("{name}: unknown variable; {fix}"));
    }
    let stranger = message("POLLUX_COLOUR_OF_THE_SEA", "s3cret");
    let start = "POLLUX_COLOUR_OF_THE_SEA: unknown variable; write POLLUX_SECTION_KEY with one of the \
                 sections link, listen, ";
    assert!(stranger.starts_with(start), "{stranger}");
}

#[test]
fn all_mistakes_are_kept() {
    let environment = of(&[("POLLUX_LOG_LEVLE", "1"), ("POLLUX_LOG_FROMAT", "2")]);
    let names: Vec<_> = environment.errors.iter().map(ToString::to_string).collect();
    assert!(
        names[0].starts_with("POLLUX_LOG_FROMAT: ") && names[1].starts_with("POLLUX_LOG_LEVLE: ")
    );
}

#[test]
fn what_is_not_utf_8_is_refused_where_it_is_ours() {
    let bytes = || OsString::from_vec(vec![0xff]);
    for name in ["POLLUX_DATA_DIRECTORY", "DATABASE_URL", "DATABASE_MAX_CONN"] {
        let environment = Environment::of([(name.into(), bytes())]);
        assert_eq!(
            environment.errors[0].to_string(),
            format!("{name}: not UTF-8; set it anew, or unset it")
        );
    }
    assert!(Environment::of([("LESS".into(), bytes())]).errors.is_empty());
    let name = OsString::from_vec(b"POLLUX_LOG_LEVE\xff".to_vec());
    let message = Environment::of([(name, "info".into())]).errors[0].to_string();
    assert!(message.ends_with("unknown variable; did you mean POLLUX_LOG_LEVEL?"), "{message}");
}

#[test]
fn what_kubernetes_sets_beside_a_service_is_none_of_ours() {
    for (name, value) in [
        ("POLLUX_SERVICE_HOST", "10.0.0.1"),
        ("POLLUX_SERVICE_PORT", "80"),
        ("POLLUX_SERVICE_PORT_HTTP", "80"),
        ("POLLUX_PORT", "tcp://10.0.0.1:80"),
        ("POLLUX_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("POLLUX_PORT_80_TCP_PROTO", "tcp"),
        ("POLLUX_PORT_80_TCP_PORT", "80"),
        ("POLLUX_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("POLLUX_METRICS_PORT_9464_TCP_PORT", "9464"),
    ] {
        assert_eq!(message(name, value), "", "{name}");
    }
    assert_ne!(message("POLLUX_PORT_OF_CALL", "80"), "");
    assert_ne!(message("POLLUX_PORT_", "80"), "");
}

/// Every variable of that form in the tree is one that the server is not troubled by.
#[test]
fn the_variables_of_scripts_and_tests_are_reserved() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = BTreeSet::new();
    for folder in ["deploy", "control/tests", "control/src", "dataplane", "handlers"] {
        collect(&root.join(folder), &mut found);
    }
    for file in ["hugepages.sh", "README.md"] {
        variables(&fs::read_to_string(root.join(file)).expect("readable"), &mut found);
    }
    let keys: BTreeSet<_> = Key::ALL.iter().map(|key| key.variable()).collect();
    let strangers: Vec<_> = found
        .iter()
        .map(String::as_str)
        .filter(|name| !keys.contains(*name) && !RESERVED.contains(name))
        .filter(|name| !SHELL_ONLY.contains(name) && !MISTAKES.contains(name))
        .collect();
    assert!(strangers.is_empty(), "neither a key's nor in RESERVED: {strangers:?}");
    let gone: Vec<_> = RESERVED.iter().filter(|name| !found.contains(**name)).collect();
    assert!(gone.is_empty(), "reserved, and used nowhere: {gone:?}");
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        // Those about wrong names.
        let is_this = path.to_string_lossy().contains("environment");
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if let Some(text) = fs::read_to_string(&path).ok().filter(|_| !is_this) {
            variables(&text, found);
        }
    }
}

/// The names in `text` that begin like those of keys.
fn variables(text: &str, found: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices(PREFIX) {
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if !NAMES_NONE.contains(&name) {
            found.insert(name.to_owned());
        }
    }
}

/// A variable of the shell in deploy/rehearse/inside/, which no program is given.
const SHELL_ONLY: &[&str] = &["POLLUX_ADDRESS"];
/// What the tests of the container set by mistake.
const MISTAKES: &[&str] = &["POLLUX_LISTEN_PROT"];
/// How texts speak of all of them.
const NAMES_NONE: &[&str] = &["POLLUX_", "POLLUX_SECTION_KEY"];
