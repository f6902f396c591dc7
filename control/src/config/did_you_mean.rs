//! Did you mean: the known name that is nearest to one nobody knows.

/// The candidate somebody who wrote `name` probably meant, if one is near enough.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let measured =
        candidates.into_iter().map(|candidate| (strsim::levenshtein(name, candidate), candidate));
    let (distance, candidate) = measured.min_by_key(|nearest| nearest.0)?;
    // Of a short name, a slip leaves more than a half: `to` is no slip for `id`.
    let close = distance <= DISTANCE_MAX && distance * 2 <= candidate.chars().count().max(1);
    close.then_some(candidate)
}

/// How far from a name another may be to still be taken for a slip of the pen.
const DISTANCE_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_wins_and_strangers_find_none() {
        let names = ["limits", "listen", "link", "to"];
        assert_eq!(nearest("limit", names), Some("limits"));
        assert_eq!(nearest("lnik", names), Some("link"));
        assert_eq!(nearest("ot", names), None, "two of two letters are another word");
        assert_eq!(nearest("colour of the sea", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
