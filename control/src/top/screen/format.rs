//! Texts that fit a width.

/// `text`, or as much as fits with a `~` for the rest.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let head: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { head } else { head + "~" }
}

/// As many of `parts` as fit, the first first; each with its gap before it. A part that does not fit is
/// left out, and those after it may still fit.
pub(super) fn within_width<T>(parts: Vec<(String, T)>, width: u16) -> Vec<(String, T)> {
    let mut left = usize::from(width);
    let mut taken = Vec::new();
    for (text, style) in parts {
        let text = if taken.is_empty() { format!(" {text}") } else { format!("  {text}") };
        let length = text.chars().count();
        if length <= left {
            left -= length;
            taken.push((text, style));
        }
    }
    taken
}

/// Whose numbers these are.
pub(super) fn scope(core: Option<usize>) -> String {
    core.map_or_else(|| "all cores".to_owned(), |core| format!("core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!([clip("abcd", 4), clip("abcde", 4), clip("a", 0)], ["abcd", "abc~", ""]);
    }

    #[test]
    fn parts_that_do_not_fit_are_left_out() {
        let parts = ["one", "a long one", "two"].map(|text| (text.to_owned(), ())).into();
        let texts: Vec<_> = within_width(parts, 9).into_iter().map(|(text, ())| text).collect();
        assert_eq!(texts, [" one", "  two"]);
    }
}
