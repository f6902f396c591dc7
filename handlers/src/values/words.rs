//! Words of an operator, and of a client, as messages show them.

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let len = word.chars().count();
    // Something of the word must be left.
    let most = (len / 3).max(1).min(len.saturating_sub(1));
    let far = |other: &str| strsim::levenshtein(&word.to_lowercase(), &other.to_lowercase());
    known
        .into_iter()
        .map(|other| (far(other), other))
        .filter(|(far, _)| *far <= most)
        .min_by_key(|(far, _)| *far)
        .map(|(_, other)| other)
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
            ("cuont", None),
            ("mix", Some("min")),
            ("catgory", Some("category")),
            ("ctaegory", Some("category")),
            ("limit", None),
            ("x", None),
            ("", None),
            ("mn", Some("min")),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(shown("a b~"), "a b~");
        assert_eq!(shown("\u{1b}[0m\n\u{fc}"), "\\u{1b}[0m\\n\\u{fc}");
        assert_eq!(shown(&"x".repeat(41)), format!("{}...", "x".repeat(40)));
        assert_eq!(shown(&"x".repeat(40)), "x".repeat(40));
    }
}
