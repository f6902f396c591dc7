//! Which words no name may have: private metaphors, each with the word of the field to say instead.
//!
//! A name is an identifier, a string literal that is nothing but a name (the path of a key, a counter, a
//! metric, a member of JSON), a path of a file, or a key of the example configuration. It is split into its
//! words, and none of these may be in [`WORDS`]. Words that the field uses too (`page` of memory, `reply` of ARP,
//! `outcome`) are refused only where they stood for something else.

use super::{Source, char_len, comment_len, string_len};

/// A word, below which paths it is refused (everywhere: ""), and what to say instead.
const WORDS: &[(&str, &str, &str)] = &[
    ("acknowledged", "dataplane/engine/", "ack"),
    ("answer", "", "response (HTTP), completion (of an offload), reply (ARP, ICMP)"),
    ("answers", "", "responses, completions"),
    ("ask", "", "offload, request"),
    ("asker", "", "requester"),
    ("asks", "", "offloads, requests"),
    ("bare", "", "what is missing from it"),
    ("besides", "", "services"),
    ("blank", "", "buffer, placeholder, empty"),
    ("blueprint", "", "config"),
    ("book", "", "references"),
    ("choice", "handlers/", "response"),
    ("clerk", "", "dispatcher"),
    ("crew", "", "workers"),
    ("desk", "", "driver, backends, command handler"),
    ("desks", "", "backends"),
    ("despair", "", "fail what waits"),
    ("door", "", "admission"),
    ("draft", "", "entry, config"),
    ("edition", "", "site handle"),
    ("errand", "", "job kind"),
    ("expected", "dataplane/engine/", "rcv_nxt"),
    ("fault", "control/", "error"),
    ("fault", "dataplane/engine/", "error"),
    ("fault", "dataplane/http1/", "error, reject"),
    ("fault", "handlers/", "error"),
    ("faults", "control/", "errors"),
    ("faults", "handlers/", "errors"),
    ("fit", "", "compatibility"),
    ("flights", "", "pipeline"),
    ("form", "", "request buffer, format, syntax, conversion"),
    ("forms", "", "request buffers, formats"),
    ("guard", "dataplane/engine/", "filter"),
    ("hire", "", "spawn"),
    ("hopeful", "", "connecting"),
    ("hub", "", "steering queue"),
    ("judge", "", "assess, validate"),
    ("landed", "", "complete"),
    ("lane", "", "worker handle, packet device, queue rings"),
    ("lease", "", "buffer guard"),
    ("lent", "", "in use, held"),
    ("life", "", "generation"),
    ("loss", "dataplane/engine/", "drop reason"),
    ("manner", "", "framing"),
    ("material", "", "source"),
    ("misfit", "", "schema changed"),
    ("mistake", "", "error"),
    ("mistakes", "", "errors"),
    ("near", "", "nearest"),
    ("need", "", "requirement, require"),
    ("noted", "", "reported"),
    ("octet", "", "byte"),
    ("loss_probes", "dataplane/engine/", "RFC 8985 7: the counter of tail loss probes"),
    ("octets", "", "bytes"),
    ("office", "", "what of it is used: responder, cache, submissions"),
    ("often", "", "rate-limited"),
    ("outbox", "", "responder"),
    ("outcome", "dataplane/http1/", "action"),
    ("outcome", "handlers/", "action"),
    ("page", "control/src/config/", "diagnostics"),
    ("patience", "", "timeout"),
    ("planner", "", "compiler"),
    ("post", "", "worker"),
    ("press", "", "compression"),
    ("presses", "", "compress pool"),
    ("recipient", "", "handle"),
    ("registry", "", "flow tables"),
    ("rehearsal", "", "testkit"),
    ("reply", "control/src/offload/", "response"),
    ("reply", "dataplane/http1/", "response"),
    ("reply", "handlers/", "response"),
    ("sated", "", "server full"),
    ("seat", "", "worker"),
    ("seats", "", "workers"),
    ("sheet", "", "job"),
    ("shelf", "", "retire list"),
    ("shelves", "", "retire lists"),
    ("spoke", "", "worker queue"),
    ("spread", "", "steering"),
    ("spreading", "", "steering"),
    ("staff", "", "workers"),
    ("standing", "", "running config; stalled"),
    ("suspect", "", "unacceptable"),
    ("team", "", "worker set"),
    ("tell", "", "log, notify, send"),
    ("tells", "", "logs, notifies, sends"),
    ("told", "", "logged, notified, sent"),
    ("verdict", "", "action, availability, assessment"),
    ("verdicts", "", "assessments"),
    ("vet", "", "validate"),
    ("wish", "", "shutdown, amount"),
    ("workshop", "", "loader thread"),
];

/// Names that keep such a word, below which path, and why. An entry that no name needs fails the test.
const KEPT: &[(&str, &str, &str)] = &[
    ("BareCr", "dataplane/http1/", "RFC 9112 2.2: a bare CR"),
    ("BareLf", "dataplane/http1/", "RFC 9112 2.2: a line that ends with LF alone"),
    ("BlankLines", "dataplane/http1/", "lines with nothing in them"),
    ("POST", "", "the method"),
    ("Post", "", "the method"),
    ("Registry", "control/src/logs", "a type of tracing-subscriber"),
    ("Registry", "control/src/metrics/", "a type of prometheus-client"),
    ("bare_cr", "dataplane/http1/", "the counter of BareCr"),
    ("bare_lf", "dataplane/http1/", "the counter of BareLf"),
    ("blank_lines", "dataplane/http1/", "the counter of BlankLines"),
    ("deadlines.answer", "control/src/config/key.rs", "a former key, refused with the new one"),
    ("form", "control/src/tune/plan.rs", "a former member of the record, still read"),
    ("limits.form", "control/src/config/key.rs", "a former key, refused with the new one"),
    ("loss_probes", "dataplane/engine/", "RFC 8985 7: the counter of tail loss probes"),
    ("octets", "", "Ipv4Addr::octets of the standard library"),
    ("office", "handlers/src/sample/", "a category of the sample items"),
    ("registry", "control/src/logs", "a module of tracing-subscriber"),
    ("registry", "control/src/metrics/", "a module of prometheus-client"),
];

/// What is wrong with the names of `sources` (shipped ones) and of the files `paths`: a line each.
pub(crate) fn refusals(sources: &[Source], paths: &[String], keys: &[String]) -> Vec<String> {
    let mut used = vec![false; KEPT.len()];
    let mut found = Vec::new();
    for source in sources {
        for (line, name) in names(source.shipped()) {
            let refused = refuse(name, &source.path, &mut used);
            found.extend(refused.map(|problem| format!("{}:{line}: {problem}", source.path)));
        }
    }
    for path in paths {
        let refused = path.split('/').find_map(|part| refuse(part, path, &mut used));
        found.extend(refused.map(|problem| format!("{path}: {problem}")));
    }
    for key in keys {
        found.extend(refuse(key, "", &mut used).map(|problem| format!("key {key}: {problem}")));
    }
    let idle = KEPT.iter().zip(used).filter(|(_, used)| !used);
    found.extend(idle.map(|((name, below, _), _)| format!("KEPT: no {name:?} below {below:?}")));
    found
}

/// Why `name`, in the file `path`, is refused. Marks the entry of [`KEPT`] that lets it pass.
fn refuse(name: &str, path: &str, used: &mut [bool]) -> Option<String> {
    let parts = parts(name);
    let (word, _, say) = WORDS.iter().find(|(word, below, _)| {
        path.starts_with(below) && parts.iter().any(|part| part == word)
    })?;
    let kept = KEPT.iter().position(|(kept, below, _)| *kept == name && path.starts_with(below));
    match kept {
        Some(at) => {
            used[at] = true;
            None
        }
        None => Some(format!("{name}: {word:?} is a metaphor here; say {say}")),
    }
}

/// The words of a name, in lower case: at every separator, and where a capital follows a small letter or
/// begins the last word of a run of capitals.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            parts.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after = chars.get(at + 1);
        let follows_small =
            before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
        let ends_capitals =
            before.is_some_and(char::is_uppercase) && after.is_some_and(|c| c.is_lowercase());
        if c.is_uppercase() && (follows_small || ends_capitals) {
            parts.push(String::new());
        }
        parts.last_mut().expect("never empty").extend(c.to_lowercase());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Identifiers, and strings that are names, with their lines.
fn names(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let string = string_len(rest);
        let len = if let Some(len) = comment_len(rest).or_else(|| char_len(rest)) {
            len
        } else if let Some(len) = string {
            let content = rest[..len].trim_start_matches(|c| c != '"').trim_matches('"');
            found.extend(is_name(content).then_some((line, content)));
            len
        } else if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push((line, &rest[..len]));
            len
        } else {
            first.len_utf8()
        };
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    found
}

/// Whether a string is the path of a key, a counter, a member of JSON or the like, not prose.
fn is_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_word) && text.chars().all(|c| is_word(c) || matches!(c, '_' | '.' | '-'))
}

#[test]
fn names_are_split_at_separators_and_capitals() {
    assert_eq!(parts("answer_arp"), ["answer", "arp"]);
    assert_eq!(parts("TcpAnswer"), ["tcp", "answer"]);
    assert_eq!(parts("HTTPAnswer2Of"), ["http", "answer2", "of"]);
    assert_eq!(parts("ANSWER_MAX"), ["answer", "max"]);
    assert_eq!(parts("deadlines.answer"), ["deadlines", "answer"]);
    assert_eq!(parts("_answering"), ["answering"]);
}

#[test]
fn a_refused_word_is_found_with_its_line_and_what_to_say() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let refused = |path: &str, text: &str| {
        let mut found = refusals(&[source(path, text)], &[], &[]);
        found.retain(|line| !line.starts_with("KEPT"));
        found
    };
    let text = "// answer\nfn f() {\n    let a = \"an answer\";\n    send_answer();\n}\n";
    let [line] = &refused("handlers/src/x.rs", text)[..] else { panic!("one name is refused") };
    assert!(line.starts_with("handlers/src/x.rs:4: send_answer: \"answer\""), "{line}");
    assert!(line.ends_with("say response (HTTP), completion (of an offload), reply (ARP, ICMP)"));
    assert_eq!(refused("handlers/src/x.rs", "f(\"deadlines.answer\")").len(), 1);
    assert_eq!(refused("handlers/src/x.rs", "let reply = 1;").len(), 1);
    assert!(refused("dataplane/engine/src/x.rs", "let reply = 1;").is_empty());
    assert!(refused("handlers/src/x.rs", "Method::Post").is_empty());
    assert!(
        refused("handlers/src/x.rs", "#[cfg(test)]\nmod tests {\n fn answer() {}\n}\n").is_empty()
    );
    let found = refusals(&[], &["control/src/answer.rs".into()], &["limits.forms".into()]);
    assert!(found[0].starts_with("control/src/answer.rs: answer.rs: "), "{found:?}");
    assert!(found[1].starts_with("key limits.forms: "), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("KEPT: no \"octets\"")), "{found:?}");
}
