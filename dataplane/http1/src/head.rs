//! Finds and cuts a request head: lines, tokens and bytes. `frame` validates what they mean.
//!
//! Two ways, one result. [`parse_at_once`] runs httparse over bytes that were never looked at, and
//! only ever says yes: a head that is whole and flawless. Everything else, a head in pieces above
//! all, goes to [`Scan`], which looks at every byte once, however the bytes are cut, and alone
//! decides what is refused and why. So a response depends on the bytes, never on how they arrived.

use core::mem::MaybeUninit;

use httparse::{EMPTY_HEADER, Header};

use crate::{FIELDS_MAX, Limits, Reject, Version};

/// A head whose lines are sound: every line ends in CRLF, every byte is allowed where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// A token.
    pub(crate) method: &'a [u8],
    /// Visible ASCII, not empty.
    pub(crate) target: &'a [u8],
    pub(crate) version: Version,
    pub(crate) fields: &'a [Header<'a>],
    /// Bytes from the request line to the empty line, both included.
    pub(crate) len: usize,
}

/// Stack room for the field lines of one head.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; FIELDS_MAX];

/// The head at the start of `input`, if all of it is there and nothing is wrong with it.
#[inline]
pub(crate) fn parse_at_once<'a, 'b: 'a>(
    input: &'b [u8],
    limits: &Limits,
    room: &'a mut Room<'b>,
) -> Option<Head<'a>> {
    let window = &input[..input.len().min(limits.head_len_max)];
    let mut parsed = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(len)) = parsed.parse_with_uninit_headers(window, room) else {
        return None;
    };
    let method = parsed.method?.as_bytes();
    let target = parsed.path?.as_bytes();
    let version = if parsed.version? == 0 { Version::Http10 } else { Version::Http11 };
    let fields: &'a [Header<'a>] = parsed.headers;
    let sound = len <= limits.line_len_max // then no single line is longer
        && fields.len() <= limits.fields_max
        && !matches!(window[0], b'\r' | b'\n') // httparse skips empty lines
        && target.is_ascii()
        && lines_end_in_crlf(&window[..len], fields);
    sound.then_some(Head { method, target, version, fields, len })
}

/// Whether no line of `head` ends in LF alone, which httparse lets pass.
///
/// Looks at the two bytes before each field name only: an LF ends the line before it, and no CR
/// can stand before that LF but the one of CRLF, for httparse admits CR nowhere else.
fn lines_end_in_crlf(head: &[u8], fields: &[Header<'_>]) -> bool {
    let start = head.as_ptr().addr();
    head.ends_with(b"\r\n\r\n")
        && fields.iter().all(|field| {
            let name_at = field.name.as_ptr().addr() - start;
            head[..name_at].ends_with(b"\r\n")
        })
}

/// How far the bytes of an incomplete head were examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes of the head that were looked at.
    seen: usize,
    /// Where the line begins in which `seen` is.
    line_at: usize,
    /// Empty lines skipped before the head.
    blanks: u8,
}

impl Scan {
    /// Whether nothing of a head was seen.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.seen == 0
    }

    /// Skips empty lines at the start of `input`, where a head may begin; returns their bytes.
    ///
    /// //= RFC 9112 2.2: at least one CRLF before the request line SHOULD be ignored.
    pub(crate) fn skip_blanks(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let mut skipped = 0;
        while input[skipped..].starts_with(b"\r\n") {
            skipped += 2;
            self.blanks += 1;
            if self.blanks > BLANKS_MAX {
                return Err(Reject::BlankLines);
            }
        }
        Ok(skipped)
    }

    /// Examines what is new in `input`, which starts where the head does. Gives the length of the
    /// head once its empty line was seen.
    pub(crate) fn find_end(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Reject> {
        while let Some(&byte) = input.get(self.seen) {
            let at = self.seen;
            if at >= limits.head_len_max {
                break;
            }
            self.seen += 1;
            let after_cr = at > 0 && input[at - 1] == b'\r';
            match byte {
                b'\n' if !after_cr => return Err(Reject::BareLf),
                b'\n' => {
                    let line = &input[self.line_at..at - 1];
                    if line.is_empty() {
                        return Ok(Some(at + 1));
                    }
                    self.check_line(line)?;
                    self.line_at = at + 1;
                }
                _ if after_cr => return Err(Reject::BareCr),
                b'\r' => {}
                _ if at - self.line_at >= limits.line_len_max => {
                    return Err(self.too_long(&input[self.line_at..at]));
                }
                _ if !self.allows(byte) => return Err(Reject::BadByte),
                _ => {}
            }
        }
        // Refused as soon as it is certain, so that a buffer of just that many bytes is enough.
        if self.seen >= limits.head_len_max { Err(Reject::HeadTooLong) } else { Ok(None) }
    }

    fn in_request_line(&self) -> bool {
        self.line_at == 0
    }

    fn allows(&self, byte: u8) -> bool {
        match byte {
            b' '..=b'~' => true,
            b'\t' | 0x80.. => !self.in_request_line(),
            _ => false,
        }
    }

    fn check_line(&self, line: &[u8]) -> Result<(), Reject> {
        if self.in_request_line() {
            parse_request_line(line).map(|_| ())
        } else {
            check_field_name(line)
        }
    }

    fn too_long(&self, line: &[u8]) -> Reject {
        match self.in_request_line() {
            //= RFC 9112 3: a method longer than any that is implemented SHOULD be answered 501.
            true if !line.contains(&b' ') => Reject::UnknownMethod,
            true => Reject::TargetTooLong,
            false => Reject::FieldTooLong,
        }
    }
}

/// Cuts a head that [`Scan::find_end`] found whole; `head` ends with its empty line.
pub(crate) fn parse_scanned<'a, 'b: 'a>(
    head: &'b [u8],
    limits: &Limits,
    room: &'a mut [Header<'b>; FIELDS_MAX],
) -> Result<Head<'a>, Reject> {
    // A head has a request line: empty ones were skipped before it.
    let line_len = head.iter().position(|&b| b == b'\r').ok_or(Reject::BadRequestLine)?;
    let (method, target, version) = parse_request_line(&head[..line_len])?;
    let fields = match httparse::parse_headers(&head[line_len + 2..], room) {
        Ok(httparse::Status::Complete((_, fields))) if fields.len() <= limits.fields_max => fields,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Reject::TooManyFields);
        }
        Ok(httparse::Status::Partial) | Err(_) => return Err(Reject::BadFieldName),
    };
    Ok(Head { method, target, version, fields, len: head.len() })
}

/// An array for [`parse_scanned`].
pub(crate) const EMPTY_ROOM: [Header<'static>; FIELDS_MAX] = [EMPTY_HEADER; FIELDS_MAX];

/// `method SP request-target SP HTTP-version` (RFC 9112 3), nothing repaired.
fn parse_request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), Reject> {
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reject::BadRequestLine);
    };
    if target.is_empty() || !is_token(method) {
        return Err(Reject::BadRequestLine);
    }
    Ok((method, target, parse_version(version)?))
}

/// `HTTP/` DIGIT `.` DIGIT, in capitals (RFC 9112 2.3).
fn parse_version(version: &[u8]) -> Result<Version, Reject> {
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        //= RFC 9110 2.5: a higher minor version is treated as the highest one known.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Reject::UnsupportedVersion)
        }
        _ => Err(Reject::BadVersion),
    }
}

/// `line` begins with `field-name ":"` (RFC 9112 5).
fn check_field_name(line: &[u8]) -> Result<(), Reject> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(Reject::FoldedField);
    }
    match line.iter().position(|&b| b == b':') {
        Some(colon) if is_token(&line[..colon]) => Ok(()),
        _ => Err(Reject::BadFieldName),
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// `tchar` (RFC 9110 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Empty lines before a request line. Clients that send any send one or two.
const BLANKS_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use std::string::String;
    use std::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{EMPTY_ROOM, Head, Scan, parse_at_once, parse_scanned};
    use crate::{FIELDS_MAX, Limits, Reject};

    /// The slow way, which decides: byte by byte, then the pieces.
    fn scanned<'a, 'b: 'a>(
        input: &'b [u8],
        limits: &Limits,
        room: &'a mut [httparse::Header<'b>; FIELDS_MAX],
    ) -> Result<Option<Head<'a>>, Reject> {
        match Scan::default().find_end(input, limits)? {
            Some(len) => parse_scanned(&input[..len], limits, room).map(Some),
            None => Ok(None),
        }
    }

    /// Both ways see the same head, or the fast one sees none where the slow one has a reason.
    fn agree(input: &[u8], limits: &Limits) -> Result<(), TestCaseError> {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut slow_room = EMPTY_ROOM;
        let fast = parse_at_once(input, limits, &mut room);
        let slow = scanned(input, limits, &mut slow_room);
        match (fast, slow) {
            (Some(fast), Ok(Some(slow))) => prop_assert_eq!(fast, slow),
            (Some(_), Ok(None) | Err(_)) => prop_assert!(false, "only the fast way sees a head"),
            (None, Ok(Some(head))) => {
                let mut lines = input.split(|&b| b == b'\r');
                let line = lines.next().unwrap_or_default();
                let is_later_minor = !line.ends_with(b" HTTP/1.0") && !line.ends_with(b" HTTP/1.1");
                prop_assert!(is_later_minor || head.len > limits.line_len_max, "{:?}", head);
            }
            (None, Ok(None) | Err(_)) => {}
        }
        Ok(())
    }

    const PARTS: &[&str] = &[
        "GET",
        "P$T",
        " ",
        "  ",
        "/",
        "/a?b",
        "\u{e9}",
        " HTTP/1.1",
        "HTTP/1.0",
        " HTTP/1.7",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "\n\n",
        "A",
        ":",
        ": ",
        ":\t",
        "b",
        " \t",
        "\0",
        "\u{7f}",
        "GET / HTTP/1.1\r\n",
        "A: b\r\n",
        "A: b\n",
        "A:\r\n",
        "A: b \r\n",
        " A: b\r\n",
        "A : b\r\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn both_ways_agree(
            start in proptest::sample::select(&["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.0\r\nA: b\r\n"][..]),
            parts in vec(proptest::sample::select(PARTS), 0..12),
            line_len_max in 5usize..60,
        ) {
            let text: String = parts.concat();
            let input = [start.as_bytes(), text.as_bytes(), b"\r\n\r\n"].concat();
            agree(&input, &Limits::DEFAULT)?;
            let small = Limits { line_len_max, head_len_max: 80, fields_max: 3, ..Limits::DEFAULT };
            agree(&input, &small)?;
        }

        #[test]
        fn both_ways_agree_on_damage(
            lines in vec("[A-Za-z-]{1,8}:[ \t]{0,2}[ -~]{0,12}", 0..6),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut input: Vec<u8> = b"GET /path?query HTTP/1.1\r\n".to_vec();
            input.extend(lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()));
            input.extend(b"\r\n");
            let at = at.index(input.len());
            input[at] = byte;
            agree(&input, &Limits::DEFAULT)?;
        }
    }

    #[test]
    fn a_scan_looks_at_every_byte_once() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\nrest";
        let mut scan = Scan::default();
        for end in 0..head.len() - 5 {
            assert_eq!(scan.find_end(&head[..end], &Limits::DEFAULT), Ok(None));
            assert_eq!(scan.seen, end, "everything given was examined");
        }
        assert_eq!(scan.find_end(head, &Limits::DEFAULT), Ok(Some(head.len() - 4)));
    }
}
