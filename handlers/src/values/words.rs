//! Words of an operator, and of a client, as messages show them.

/// Did you mean: the known word that is nearest to `word`, if one is near enough. Capitals do not count.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase();
    let far = |other: &str| strsim::levenshtein(&word, &other.to_lowercase());
    let (distance, other) =
        known.into_iter().map(|other| (far(other), other)).min_by_key(|nearest| nearest.0)?;
    // Of a short word, a slip leaves more than a half: `to` is no slip for `id`.
    let is_close = distance <= DISTANCE_MAX && distance * 2 <= other.chars().count();
    is_close.then_some(other)
}

/// What somebody sent, shortened, with nothing in it that a terminal would act on.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= SHOWN_MAX {
            shown.push_str("...");
            break;
        }
        match c {
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// How far from a word another may be to still be taken for a slip of the pen.
const DISTANCE_MAX: usize = 3;
const SHOWN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let known = ["rows", "count", "min", "max", "category"];
        for (word, want) in [
            ("row", Some("rows")),
            ("Count", Some("count")),
            ("cuont", Some("count")),
            ("mix", Some("min")),
            ("catgory", Some("category")),
            ("ctaegory", Some("category")),
            ("limit", None),
            ("x", None),
            ("", None),
            ("mn", Some("min")),
            ("a colour of the sea", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
        assert_eq!(nearest("ot", ["to"]), None, "two of two letters are another word");
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(shown("a b~"), "a b~");
        assert_eq!(shown("\u{1b}[0m\n\u{fc}"), "\\u{1b}[0m\\n\\u{fc}");
        assert_eq!(shown(&"x".repeat(41)), format!("{}...", "x".repeat(40)));
        assert_eq!(shown(&"x".repeat(40)), "x".repeat(40));
    }
}
