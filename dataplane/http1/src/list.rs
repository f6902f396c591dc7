//! Comma-separated lists in field values (RFC 9110 5.6.1).

/// The elements of `value`, whitespace trimmed, empty ones left out.
///
/// For lists whose elements hold no quoted comma.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim_ows).filter(|element| !element.is_empty())
}

/// Takes SP and HTAB off both ends (RFC 9110 5.6.3).
pub(crate) fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::elements;

    #[test]
    fn empty_elements_and_whitespace_vanish() {
        let list: Vec<_> = elements(b" ,a ,\t, b,, c d ,").collect();
        assert_eq!(list, [&b"a"[..], b"b", b"c d"]);
        assert_eq!(elements(b" , ").count(), 0);
    }
}
