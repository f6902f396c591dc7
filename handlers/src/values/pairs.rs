//! Pairs of a query, `name=value&name=value`: escapes are decoded, `+` is a space.
//!
//! Never allocates but in [`decode`]: a core may look at a query too.

/// The value of the first pair that is called `name`, as it was sent. A pair without `=` has none.
pub(crate) fn value<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let is_name = bytes(&pair[..at]).eq(name.bytes().map(Ok));
        is_name.then_some(&pair[at + 1..])
    })
}

/// The text that a value stands for.
pub(crate) fn decode(value: &[u8]) -> Result<String, Broken> {
    let bytes = bytes(value).collect::<Result<_, _>>()?;
    String::from_utf8(bytes).map_err(|_| Broken)
}

/// A `%` without two hexadecimal digits behind it, or bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The bytes that a name or a value stands for.
pub(crate) fn bytes(sent: &[u8]) -> impl Iterator<Item = Result<u8, Broken>> {
    let mut rest = sent.iter();
    std::iter::from_fn(move || {
        Some(match rest.next()? {
            b'+' => Ok(b' '),
            b'%' => hex(rest.next()).and_then(|high| Ok(high << 4 | hex(rest.next())?)),
            &byte => Ok(byte),
        })
    })
}

fn hex(digit: Option<&u8>) -> Result<u8, Broken> {
    let digit = digit.and_then(|&digit| char::from(digit).to_digit(16));
    digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(Broken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_pair_of_a_name_counts() {
        for (query, want) in [
            ("m=3&m=4", Some("3")),
            ("mm=3&m=4", Some("4")),
            ("m=&m=4", Some("")),
            ("m&m=4", Some("4")),
            ("%6d=5", Some("5")),
            ("m=a=b", Some("a=b")),
            ("%zz=1&m=5", Some("5")),
            ("M=1", None),
            ("", None),
            ("&&=&", None),
        ] {
            assert_eq!(value(query.as_bytes(), "m"), want.map(str::as_bytes), "{query}");
        }
        assert_eq!(value(b"a+b=1", "a b"), Some(&b"1"[..]));
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_are_told() {
        assert_eq!(decode(b"a+b%20c%2B%C3%BC"), Ok("a b c+\u{fc}".into()));
        assert_eq!(decode(b""), Ok(String::new()));
        for broken in ["%", "%4", "%zz", "%4g", "a%", "%%41", "%ff", "%c3", "%+1"] {
            assert_eq!(decode(broken.as_bytes()), Err(Broken), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn all_text_comes_back(text in any::<String>()) {
            let sent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(sent.as_bytes()), Ok(text));
        }
    }
}
