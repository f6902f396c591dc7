//! Paths as sent, made safe to look up (RFC 3986 2.1, 5.2.4; RFC 9110 17.3).
//!
//! Nothing is normalised: a path that needs it is refused, so that one resource has one path and
//! none leads out of the table it is looked up in.

/// Why a path is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// `%` without two hexadecimal digits: 400.
    BadEscape,
    /// An escaped byte that no path may hold: a control (NUL above all), `/` or `\`, or a `\` sent
    /// plainly: 400.
    Forbidden,
    /// A segment `.` or `..`, plain or escaped: 400, or 404.
    DotSegment,
    /// Longer than the room to decode it in: 404, for nothing has so long a name.
    TooLong,
}

/// Decodes the escapes of `path` into `room` and checks the result. A path without escapes, the
/// common case, is returned as it is and `room` stays untouched.
pub fn decode<'a>(path: &'a [u8], room: &'a mut [u8]) -> Result<&'a [u8], PathError> {
    let decoded = if path.contains(&b'%') { unescape(path, room)? } else { path };
    if decoded.iter().any(|&b| b == b'\\' || b.is_ascii_control()) {
        return Err(PathError::Forbidden);
    }
    if decoded.split(|&b| b == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        return Err(PathError::DotSegment);
    }
    Ok(decoded)
}

fn unescape<'a>(path: &[u8], room: &'a mut [u8]) -> Result<&'a [u8], PathError> {
    let (mut from, mut to) = (0, 0);
    while let Some(&sent) = path.get(from) {
        let byte = if sent == b'%' {
            let Some(&[high, low]) = path.get(from + 1..from + 3) else {
                return Err(PathError::BadEscape);
            };
            let byte = hex(high)? << 4 | hex(low)?;
            //= RFC 3986 2.2: an escaped delimiter is not the delimiter; no table has such a name.
            if byte == b'/' {
                return Err(PathError::Forbidden);
            }
            from += 3;
            byte
        } else {
            from += 1;
            sent
        };
        *room.get_mut(to).ok_or(PathError::TooLong)? = byte;
        to += 1;
    }
    Ok(&room[..to])
}

/// Whether `path` has an escaped `/` or `\`, which [`decode`] refuses and [`decode_marked`] does not.
pub fn has_escaped_separator(path: &[u8]) -> bool {
    let is_one = |escape: &[u8]| matches!(escape, b"%2f" | b"%2F" | b"%5c" | b"%5C");
    path.windows(3).any(is_one)
}

/// As [`decode`], but an escaped `/` or `\` is data of its segment (RFC 3986 2.2) and comes out as a mark that no
/// path has otherwise, so that `/` still ends a segment. [`unmark`] makes them what they stand for. Returns the
/// length of what `room` has then.
///
/// # Errors
/// As [`decode`].
pub fn decode_marked(path: &[u8], room: &mut [u8]) -> Result<usize, PathError> {
    let (mut from, mut to) = (0, 0);
    while let Some(&sent) = path.get(from) {
        let byte = match path.get(from..from + 3) {
            Some(b"%2f" | b"%2F") => SLASH_MARK,
            Some(b"%5c" | b"%5C") => BACKSLASH_MARK,
            Some(&[b'%', high, low]) => plain(hex(high)? << 4 | hex(low)?)?,
            _ if sent == b'%' => return Err(PathError::BadEscape),
            _ => plain(sent)?,
        };
        *room.get_mut(to).ok_or(PathError::TooLong)? = byte;
        from += if sent == b'%' { 3 } else { 1 };
        to += 1;
    }
    let mut segments = room[..to].split(|&b| b == b'/');
    if segments.any(|segment| matches!(segment, b"." | b"..")) {
        return Err(PathError::DotSegment);
    }
    Ok(to)
}

/// What the marks of [`decode_marked`] stand for, in the place of each.
pub fn unmark(bytes: &mut [u8]) {
    for byte in bytes {
        match *byte {
            SLASH_MARK => *byte = b'/',
            BACKSLASH_MARK => *byte = b'\\',
            _ => {}
        }
    }
}

/// Whether there is a mark of [`decode_marked`].
pub fn is_marked(bytes: &[u8]) -> bool {
    bytes.iter().any(|&byte| matches!(byte, SLASH_MARK | BACKSLASH_MARK))
}

fn plain(byte: u8) -> Result<u8, PathError> {
    match byte == b'\\' || byte.is_ascii_control() {
        true => Err(PathError::Forbidden),
        false => Ok(byte),
    }
}

/// Controls, which no decoded path has.
const SLASH_MARK: u8 = 0;
const BACKSLASH_MARK: u8 = 1;

fn hex(digit: u8) -> Result<u8, PathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathError::BadEscape),
    }
}

#[cfg(test)]
mod tests {
    use super::{PathError, decode, decode_marked, has_escaped_separator, is_marked, unmark};

    fn decoded(path: &str) -> Result<std::vec::Vec<u8>, PathError> {
        decode(path.as_bytes(), &mut [0; 64]).map(<[u8]>::to_vec)
    }

    #[test]
    fn row_74_ordinary_paths_pass() {
        for (path, want) in [
            ("/", "/"),
            ("/a/b.txt", "/a/b.txt"),
            ("/a%20b", "/a b"),
            ("/%C3%a9", "/é"),
            ("/...", "/..."),
            ("/.a/..b/c.", "/.a/..b/c."),
            ("//a//", "//a//"),
            ("/%25", "/%"),
            ("/%2525", "/%25"),
        ] {
            assert_eq!(decoded(path), Ok(want.as_bytes().to_vec()), "{path}");
        }
    }

    #[test]
    fn row_74_nothing_escapes_the_table() {
        for path in ["/..", "/a/../b", "/./a", "/%2e%2e/a", "/a/%2E.", "/.%2e", "/%2e"] {
            assert_eq!(decoded(path), Err(PathError::DotSegment), "{path}");
        }
        for path in ["/%00", "/a%2fb", "/a%2Fb", "/a\\b", "/%5c..", "/%0d%0a", "/%7f"] {
            assert_eq!(decoded(path), Err(PathError::Forbidden), "{path}");
        }
        for path in ["/%", "/%2", "/%zz", "/a%2", "/%+1", "/% 1"] {
            assert_eq!(decoded(path), Err(PathError::BadEscape), "{path}");
        }
    }

    #[test]
    fn row_74_an_escaped_separator_is_data_of_its_segment() {
        let marked = |path: &str| {
            let mut room = [0; 16];
            let len = decode_marked(path.as_bytes(), &mut room)?;
            let has_mark = is_marked(&room[..len]);
            let segments = room[..len].split(|&b| b == b'/').count();
            unmark(&mut room[..len]);
            Ok((room[..len].to_vec(), segments - 1, has_mark))
        };
        for (path, want, segments, has_mark) in [
            ("/a%2fb", "/a/b", 1, true),
            ("/a%2Fb/c", "/a/b/c", 2, true),
            ("/%5c%5C", "/\\\\", 1, true),
            ("/..%2f..", "/../..", 1, true),
            ("/a%20b", "/a b", 1, false),
            ("/%252f", "/%2f", 1, false),
        ] {
            assert_eq!(marked(path), Ok((want.as_bytes().to_vec(), segments, has_mark)), "{path}");
            assert_eq!(has_escaped_separator(path.as_bytes()), has_mark, "{path}");
        }
        for (path, error) in [
            ("/%2f%", PathError::BadEscape),
            ("/%2f%2", PathError::BadEscape),
            ("/%2f%zz", PathError::BadEscape),
            ("/%2f%00", PathError::Forbidden),
            ("/%2f%01", PathError::Forbidden),
            ("/%2f\\", PathError::Forbidden),
            ("/a%2fb/..", PathError::DotSegment),
            ("/a%2fb/%2e", PathError::DotSegment),
            ("/%2faaaaaaaaaaaaaaaaa", PathError::TooLong),
        ] {
            assert_eq!(marked(path), Err(error), "{path}");
        }
    }

    #[test]
    fn row_74_room_limits_only_escaped_paths() {
        assert_eq!(decode(b"/abc", &mut []), Ok(&b"/abc"[..]));
        assert_eq!(decode(b"/%61bc", &mut [0; 4]), Ok(&b"/abc"[..]));
        assert_eq!(decode(b"/%61bc", &mut [0; 3]), Err(PathError::TooLong));
    }
}
