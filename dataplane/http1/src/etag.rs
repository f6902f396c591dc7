//! Entity tags (RFC 9110 8.8.3) and the conditions on them.
//!
//! A tag is passed as it stands in an ETag field, quotes and `W/` included: `"a"`, `W/"a"`.

use crate::list::trim_ows;

/// If-None-Match: whether one of the tags in `values` (all lines of the field) or `*` matches
/// `current`, by weak comparison (RFC 9110 13.1.2). If so, the condition is false: 304 or 412.
pub fn any_weak<'a>(values: impl IntoIterator<Item = &'a [u8]>, current: &[u8]) -> bool {
    any(values, |tag| opaque(tag) == opaque(current))
}

/// If-Match: whether one of the tags in `values` (all lines of the field) or `*` matches `current`,
/// by strong comparison (RFC 9110 13.1.1). If not, the condition is false: 412.
pub fn any_strong<'a>(values: impl IntoIterator<Item = &'a [u8]>, current: &[u8]) -> bool {
    any(values, |tag| is_same_strong(tag, current))
}

/// Strong comparison: the same opaque tag, and neither is weak (RFC 9110 8.8.3.2).
pub fn is_same_strong(one: &[u8], other: &[u8]) -> bool {
    !is_weak(one) && one == other
}

/// `"*"` matches, and so does a list with a tag for which `matches` holds. What follows the first
/// malformed element is not read.
fn any<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    mut matches: impl FnMut(&[u8]) -> bool,
) -> bool {
    values.into_iter().any(|value| trim_ows(value) == b"*" || Tags(value).any(&mut matches))
}

/// The tags of one list, which may hold commas between their quotes.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut rest = self.0;
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        self.0 = &[];
        let open = match rest {
            [b'"', ..] => 0,
            [b'W', b'/', b'"', ..] => 2,
            _ => return None,
        };
        let close = open + 1 + rest[open + 1..].iter().position(|&b| b == b'"')?;
        let (tag, after) = rest.split_at(close + 1);
        if matches!(trim_ows(after), [] | [b',', ..]) {
            self.0 = after;
            return Some(tag);
        }
        None
    }
}

fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::{any_strong, any_weak};

    fn weak(value: &str, current: &str) -> bool {
        any_weak([value.as_bytes()], current.as_bytes())
    }

    fn strong(value: &str, current: &str) -> bool {
        any_strong([value.as_bytes()], current.as_bytes())
    }

    #[test]
    fn row_67_comparisons_of_the_table_in_8_8_3_2() {
        for (one, other, is_strong, is_weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(strong(one, other), is_strong, "{one} {other}");
            assert_eq!(weak(one, other), is_weak, "{one} {other}");
            assert_eq!(strong(other, one), is_strong, "{other} {one}");
            assert_eq!(weak(other, one), is_weak, "{other} {one}");
        }
    }

    #[test]
    fn row_68_lists_and_star() {
        for value in ["*", " * ", r#""b", "a""#, r#""b","a","c""#, r#",, "a" ,"#, r#"W/"b",W/"a""#]
        {
            assert!(weak(value, r#""a""#), "{value}");
        }
        for value in
            ["", "a", r#""b""#, r#""a"#, r#"a""#, r#"w/"a""#, "**", r#""x" "a""#, r#"* , "b""#]
        {
            assert!(!weak(value, r#""a""#), "{value}");
        }
        assert!(any_weak([&br#""x""#[..], br#""a""#], br#""a""#), "lines are one list");
        assert!(!any_weak([], br#""a""#));
    }

    #[test]
    fn row_70_if_match_is_strong() {
        assert!(strong("*", r#"W/"a""#));
        assert!(strong(r#""x", "a""#, r#""a""#));
        assert!(!strong(r#"W/"a""#, r#""a""#));
    }

    #[test]
    fn a_comma_between_quotes_is_part_of_the_tag() {
        assert!(weak(r#""a,b""#, r#""a,b""#));
        assert!(!weak(r#""x,"a",y""#, r#""a""#), "the list is malformed from its first element on");
    }
}
