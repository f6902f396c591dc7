//! Names of prepared statements, replaced in what a client of PostgreSQL sends.
//!
//! tokio-postgres counts its statements from `s0` in every process. Where a connection pooler gives one session of
//! the server to several clients, two of them would mean different statements by one name. So every connection has
//! a prefix of its own, or, where the pooler keeps no statements, names none: then what was parsed under a name is
//! parsed again, without one, in front of each Bind that asks for it, and the server's word for that is taken out
//! of what the client receives.
//!
//! Bytes in, bytes out; no I/O. Frames: PostgreSQL's manual, "Message Formats".

use std::collections::{HashMap, VecDeque};

/// What statements are called on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The client's names behind this.
    Prefixed(String),
    /// Nothing: a statement lasts until the next one is parsed.
    Unnamed,
}

impl Naming {
    /// A prefix that no other connection has, of whatever process on whatever machine.
    pub(super) fn unique() -> Self {
        let number = getrandom::u64().expect("Linux has random numbers");
        Self::Prefixed(format!("pollux_{number:016x}_"))
    }
}

/// The two directions of one connection.
#[derive(Debug)]
pub(super) struct StatementNames {
    naming: Naming,
    /// The first message has no tag.
    is_started: bool,
    /// The beginning of a frame that was not sent as a whole yet.
    partial: Vec<u8>,
    /// What Parse said behind each name, where statements are unnamed.
    parsed: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Parse messages that were inserted since the last Sync.
    inserted: usize,
    /// Where statements are unnamed: for each ReadyForQuery that is to come, the inserted ones before it.
    expected: VecDeque<usize>,
    received: Received,
    /// The server has let us in.
    is_ready: bool,
    /// BackendKeyData, as far as it has come.
    key: Vec<u8>,
}

/// Where the frames that the server sends were left.
#[derive(Debug, Default)]
struct Received {
    header: Vec<u8>,
    tag: u8,
    /// Bytes of the body that are still to come.
    body: usize,
}

impl StatementNames {
    /// Of a connection on which nothing was sent yet.
    pub(super) fn new(naming: Naming) -> Self {
        Self {
            naming,
            is_started: false,
            partial: Vec::new(),
            parsed: HashMap::new(),
            inserted: 0,
            expected: VecDeque::new(),
            received: Received::default(),
            is_ready: false,
            key: Vec::new(),
        }
    }

    /// Whether what the server sends has to pass through here.
    pub(super) fn filters_received(&self) -> bool {
        let Received { header, body, .. } = &self.received;
        self.naming == Naming::Unnamed || !self.is_ready || !header.is_empty() || *body > 0
    }

    /// The process that the server says it is, in BackendKeyData.
    pub(super) fn process(&self) -> Option<i32> {
        self.key.first_chunk().map(|process| i32::from_be_bytes(*process))
    }

    /// The client sends `bytes`, cut anywhere: what goes to the server is appended to `out`.
    pub(super) fn on_sent(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut input = std::mem::take(&mut self.partial);
        input.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(len) = self.frame_len(&input[used..]) {
            self.rename(&input[used..used + len], out);
            used += len;
        }
        input.drain(..used);
        self.partial = input;
    }

    /// The length of the first frame, if all of it is there.
    fn frame_len(&self, bytes: &[u8]) -> Option<usize> {
        let tag = usize::from(self.is_started);
        let len = tag + length(bytes.get(tag..)?)?;
        (len <= bytes.len()).then_some(len)
    }

    fn rename(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_started, true) {
            if self.naming == Naming::Unnamed {
                self.expected.push_back(0);
            }
            return out.extend_from_slice(frame);
        }
        let (tag, body) = (frame[0], &frame[HEADER..]);
        match tag {
            PARSE => {
                let Some((name, rest)) = split_name(body) else { return out.extend(frame) };
                if self.naming == Naming::Unnamed && !name.is_empty() {
                    self.parsed.insert(name.into(), rest.into());
                }
                self.push(tag, &[], name, rest, out);
            }
            BIND => {
                let Some((portal, rest)) = split_name(body) else { return out.extend(frame) };
                let Some((name, rest)) = split_name(rest) else { return out.extend(frame) };
                if let Some(parsed) = self.parsed.get(name) {
                    self.push(PARSE, &[], b"", parsed, out);
                    self.inserted += 1;
                }
                self.push(tag, &body[..=portal.len()], name, rest, out);
            }
            DESCRIBE | CLOSE if body.first() == Some(&b'S') => {
                let Some((name, rest)) = split_name(&body[1..]) else { return out.extend(frame) };
                if tag == CLOSE {
                    self.parsed.remove(name);
                }
                self.push(tag, &body[..1], name, rest, out);
            }
            SYNC | QUERY if self.naming == Naming::Unnamed => {
                self.expected.push_back(std::mem::take(&mut self.inserted));
                out.extend_from_slice(frame);
            }
            _ => out.extend_from_slice(frame),
        }
    }

    /// A frame with the name that the server is to know the statement `name` by, between `before` and `after`.
    fn push(&self, tag: u8, before: &[u8], name: &[u8], after: &[u8], out: &mut Vec<u8>) {
        let (prefix, name): (&[u8], _) = match &self.naming {
            _ if name.is_empty() => (b"", name),
            Naming::Prefixed(prefix) => (prefix.as_bytes(), name),
            Naming::Unnamed => (b"", &b""[..]),
        };
        let len = HEADER - 1 + before.len() + prefix.len() + name.len() + 1 + after.len();
        let len = u32::try_from(len).expect("a message is shorter than 4 GiB");
        out.push(tag);
        out.extend_from_slice(&len.to_be_bytes());
        for part in [before, prefix, name, &[0], after] {
            out.extend_from_slice(part);
        }
    }

    /// The server sends `bytes`, cut anywhere: what the client is to have is appended to `out`.
    pub(super) fn on_received(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.received.body > 0 {
                let (body, rest) = bytes.split_at(self.received.body.min(bytes.len()));
                out.extend_from_slice(body);
                if self.received.tag == BACKEND_KEY_DATA && !self.is_ready {
                    self.key.extend_from_slice(body);
                }
                self.received.body -= body.len();
                bytes = rest;
                continue;
            }
            let header = &mut self.received.header;
            let (missing, rest) = bytes.split_at((HEADER - header.len()).min(bytes.len()));
            header.extend_from_slice(missing);
            bytes = rest;
            if header.len() < HEADER {
                return;
            }
            let header = std::mem::take(header);
            let len = length(&header[1..]).expect("a header has a length");
            self.received.body = len.saturating_sub(HEADER - 1);
            self.received.tag = header[0];
            self.is_ready |= header[0] == READY_FOR_QUERY;
            if !self.is_of_inserted(header[0]) {
                out.extend_from_slice(&header);
            }
        }
    }

    /// Whether a message of the server answers a Parse that the client knows nothing of.
    fn is_of_inserted(&mut self, tag: u8) -> bool {
        match (tag, self.expected.front_mut()) {
            (PARSE_COMPLETE, Some(inserted)) if *inserted > 0 => {
                *inserted -= 1;
                true
            }
            (READY_FOR_QUERY, _) => {
                self.expected.pop_front();
                false
            }
            _ => false,
        }
    }
}

/// The length that stands first: it counts itself.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length))?;
    usize::try_from(length).ok()
}

/// A string that ends with a zero byte, and what comes behind it.
fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Tag and length.
const HEADER: usize = 5;
const PARSE: u8 = b'P';
const BIND: u8 = b'B';
const DESCRIBE: u8 = b'D';
const CLOSE: u8 = b'C';
const SYNC: u8 = b'S';
const QUERY: u8 = b'Q';
const PARSE_COMPLETE: u8 = b'1';
const READY_FOR_QUERY: u8 = b'Z';
const BACKEND_KEY_DATA: u8 = b'K';

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 4).expect("short");
        [&[tag], &len.to_be_bytes()[..], body].concat()
    }

    fn startup() -> Vec<u8> {
        frame(0, b"\0\x03\0\0user\0me\0\0")[1..].to_vec()
    }

    /// Prepares, runs and closes `s7`, runs something unnamed, and asks something simple.
    fn sent(name: &str, inserted: bool) -> Vec<u8> {
        let with = |before: &str, after: &str| format!("{before}{name}\0{after}").into_bytes();
        let parse = b"SELECT $1\0\0\x01\0\0\0\x17";
        let repeated =
            if inserted { frame(PARSE, &[b"\0", &parse[..]].concat()) } else { Vec::new() };
        [
            startup(),
            frame(b'p', b"s7\0"),
            frame(PARSE, &[with("", ""), parse.to_vec()].concat()),
            frame(DESCRIBE, &with("S", "")),
            frame(SYNC, b""),
            repeated,
            frame(BIND, &with("portal\0", "\0\0\0\0\0\0")),
            frame(b'E', b"portal\0\0\0\0\0"),
            frame(DESCRIBE, b"Ps7\0"),
            frame(SYNC, b""),
            frame(CLOSE, &with("S", "")),
            frame(SYNC, b""),
            frame(PARSE, b"\0SELECT 1\0\0\0"),
            frame(BIND, b"\0\0\0\0\0\0\0\0"),
            frame(SYNC, b""),
            frame(QUERY, b"SELECT 's7'\0"),
        ]
        .concat()
    }

    fn pass(names: &mut StatementNames, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| names.on_sent(piece, &mut out));
        out
    }

    #[test]
    fn names_get_the_prefix_wherever_frames_are_cut() {
        let (given, expected) = (sent("s7", false), sent("pollux_1_s7", false));
        for cut in 0..=given.len() {
            let mut names = StatementNames::new(Naming::Prefixed("pollux_1_".into()));
            let out = pass(&mut names, &[&given[..cut], &given[cut..]]);
            assert_eq!(out, expected, "cut at {cut}");
        }
    }

    #[test]
    fn without_names_a_statement_is_parsed_again_in_front_of_each_bind() {
        let (given, expected) = (sent("s7", false), sent("", true));
        for cut in 0..=given.len() {
            let mut names = StatementNames::new(Naming::Unnamed);
            let out = pass(&mut names, &[&given[..cut], &given[cut..]]);
            assert_eq!(out, expected, "cut at {cut}");
            assert!(names.parsed.is_empty(), "what is closed is forgotten");
        }
    }

    #[test]
    fn what_the_server_says_of_an_inserted_parse_is_taken_out() {
        let ready = || frame(READY_FOR_QUERY, b"I");
        let row = || frame(b'D', b"\0\x01\0\0\0\x011");
        let answers = |parsed: &[u8]| {
            [
                frame(b'R', b"\0\0\0\0"),
                ready(),
                [frame(PARSE_COMPLETE, b""), frame(b't', b"\0\0"), ready()].concat(),
                [parsed, &frame(b'2', b""), &row(), &ready()].concat(),
                [frame(b'3', b""), ready()].concat(),
                [frame(PARSE_COMPLETE, b""), frame(b'2', b""), ready()].concat(),
                [row(), ready()].concat(),
            ]
            .concat()
        };
        let (given, expected) = (answers(&frame(PARSE_COMPLETE, b"")), answers(b""));
        for cut in 0..=given.len() {
            let mut names = StatementNames::new(Naming::Unnamed);
            pass(&mut names, &[&sent("s7", false)]);
            let mut out = Vec::new();
            names.on_received(&given[..cut], &mut out);
            names.on_received(&given[cut..], &mut out);
            assert_eq!(out, expected, "cut at {cut}");
        }
    }

    /// The server skips everything up to Sync, and has no word for what it skips.
    #[test]
    fn a_refused_parse_takes_nothing_out_of_the_next_group() {
        let mut names = StatementNames::new(Naming::Unnamed);
        let bind = [frame(BIND, b"\0s1\0\0\0\0\0\0\0"), frame(SYNC, b"")].concat();
        let prepare = [frame(PARSE, b"s1\0SELECT 1\0\0\0"), frame(SYNC, b"")].concat();
        pass(&mut names, &[&startup(), &prepare, &bind, &prepare]);
        let ready = frame(READY_FOR_QUERY, b"I");
        let prepared = [frame(PARSE_COMPLETE, b""), ready.clone()].concat();
        let refused = [frame(b'E', b"C42P01\0\0"), ready.clone()].concat();
        let given = [ready, prepared.clone(), refused, prepared].concat();
        let mut out = Vec::new();
        names.on_received(&given, &mut out);
        assert_eq!(out, given);
    }

    #[test]
    fn the_process_is_read_wherever_frames_are_cut_and_then_nothing_is_looked_at() {
        let given = [
            frame(b'R', b"\0\0\0\0"),
            frame(BACKEND_KEY_DATA, b"\0\x01\0\x02key."),
            frame(READY_FOR_QUERY, b"I"),
        ]
        .concat();
        for cut in 0..given.len() {
            let mut names = StatementNames::new(Naming::Prefixed("pollux_1_".into()));
            pass(&mut names, &[&startup()]);
            let mut out = Vec::new();
            names.on_received(&given[..cut], &mut out);
            assert!(names.filters_received(), "cut at {cut}");
            names.on_received(&given[cut..], &mut out);
            assert_eq!((out, names.process()), (given.clone(), Some(0x0001_0002)), "cut at {cut}");
            assert!(!names.filters_received(), "cut at {cut}");
            pass(&mut names, &[&frame(SYNC, b"")]);
            assert!(names.expected.is_empty(), "nobody would take it out");
        }
    }

    #[test]
    fn no_two_connections_have_one_prefix() {
        assert_ne!(Naming::unique(), Naming::unique());
    }
}
