//! Text that looks like the files of a web application: enough words to be read, enough repetition
//! to pack as real files do.

use super::random::Random;

/// A style sheet of `len` bytes.
pub(super) fn css(random: &mut Random, len: usize) -> Vec<u8> {
    fill(len, "", "", |_| {
        let (class, part) = (random.one(NOUNS), random.one(NOUNS));
        let (size, inset) = (random.within(1, 64), random.within(0, 32));
        let color = random.next() & 0xff_ffff;
        let layout = random.one(&["block", "flex", "grid", "inline-block"]);
        format!(
            ".{class}-{part}{{display:{layout};width:{size}rem;padding:{inset}px;\
             color:#{color:06x};background-color:var(--{part}-surface)}}\n"
        )
    })
}

/// A fragment of a page, of `len` bytes.
pub(super) fn html(random: &mut Random, len: usize) -> Vec<u8> {
    fill(len, "<section class=\"sample\">\n", "</section>\n", |_| {
        let (class, word, verb) = (random.one(NOUNS), random.one(NOUNS), random.one(VERBS));
        let number = random.within(1, 9999);
        format!(
            "  <li class=\"{class}-entry\"><a href=\"/static/{class}/{number}\" \
             title=\"{verb} {word}\">{verb} the {word} of the {class}</a></li>\n"
        )
    })
}

/// A drawing of `len` bytes.
pub(super) fn icons(random: &mut Random, len: usize) -> Vec<u8> {
    let open = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">\n";
    fill(len, open, "</svg>\n", |at| {
        let name = random.one(NOUNS);
        let mut point = || random.within(0, 64);
        let (a, b, c, d, e) = (point(), point(), point(), point(), point());
        format!(
            "  <path id=\"{name}-{at}\" fill=\"none\" stroke=\"currentColor\" \
             d=\"M{a} {b}L{c} {d}Q{e} {a} {b} {c}Z\"/>\n"
        )
    })
}

/// A web application manifest of `len` bytes.
pub(super) fn manifest(random: &mut Random, len: usize) -> Vec<u8> {
    let open = "{\"name\":\"Pollux sample\",\"start_url\":\"/\",\"display\":\"standalone\",\"icons\":[\
                {\"src\":\"/static/logo.svg\",\"type\":\"image/svg+xml\",\"sizes\":\"any\"}";
    fill(len, open, "]}\n", |at| {
        let (name, size) = (random.one(NOUNS), random.within(1, 32) * 16);
        format!(
            ",\n{{\"src\":\"/static/{name}-{at}.png\",\"type\":\"image/png\",\
             \"sizes\":\"{size}x{size}\"}}"
        )
    })
}

/// A script of `len` bytes.
pub(super) fn script(random: &mut Random, len: usize) -> Vec<u8> {
    fill(len, "\"use strict\";\n", "", |at| {
        let (verb, noun, other) = (random.one(VERBS), random.one(NOUNS), random.one(NOUNS));
        let (call, limit) = (random.one(VERBS), random.within(2, 900));
        format!(
            "export function {verb}_{noun}_{at}({noun},{other}){{\
             if({noun}.length>{limit})return {call}({other});\
             return {noun}.map((each)=>{call}(each,{other},\"{verb}\"))}}\n"
        )
    })
}

/// `open`, as many parts as leave room for `close`, `close`, and newlines up to `len`.
fn fill(len: usize, open: &str, close: &str, mut part: impl FnMut(usize) -> String) -> Vec<u8> {
    let mut text = open.to_owned();
    for at in 1.. {
        let next = part(at);
        if text.len() + next.len() + close.len() > len {
            break;
        }
        text.push_str(&next);
    }
    text.push_str(close);
    let mut bytes = text.into_bytes();
    bytes.resize(len, b'\n');
    bytes
}

const NOUNS: &[&str] = &[
    "anchor", "banner", "basket", "border", "bridge", "button", "canvas", "caption", "channel",
    "column", "corner", "cursor", "dialog", "drawer", "editor", "filter", "folder", "footer",
    "gallery", "garden", "handle", "header", "hinge", "ladder", "lantern", "layer", "legend",
    "margin", "marker", "menu", "mirror", "notice", "orchard", "outline", "panel", "pattern",
    "pocket", "portal", "prompt", "ribbon", "router", "sample", "shadow", "signal", "socket",
    "spinner", "stage", "summary", "switch", "table", "ticket", "timer", "toolbar", "tunnel",
    "valley", "vector", "viewport", "widget", "window", "wrapper",
];
const VERBS: &[&str] = &[
    "align", "attach", "balance", "batch", "bind", "clone", "collect", "compare", "copy", "defer",
    "detach", "divide", "encode", "expand", "fetch", "flatten", "freeze", "gather", "hydrate",
    "import", "inspect", "join", "label", "measure", "merge", "observe", "pack", "parse", "patch",
    "project", "queue", "reduce", "render", "replay", "resolve", "rotate", "scan", "sort", "split",
    "trace", "trim", "unpack", "validate", "wrap",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_json() {
        let text = manifest(&mut Random::named("m"), 3000);
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert!(value["icons"].as_array().is_some_and(|icons| icons.len() > 10));
    }
}
