//! Did you mean: the known name that is nearest to one nobody knows.

/// The candidate somebody who wrote `name` probably meant, if one is near enough.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let measured = candidates.into_iter().map(|candidate| (edits(name, candidate), candidate));
    let (distance, candidate) = measured.min_by_key(|near| near.0)?;
    // Of a short name, a slip leaves more than a half: `to` is no slip for `id`.
    let close = distance <= NEAR_MAX && distance * 2 <= candidate.chars().count().max(1);
    close.then_some(candidate)
}

/// Levenshtein distance: insertions, deletions and substitutions that turn `from` into `to`.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// How far from a name another may be to still be taken for a slip of the pen.
const NEAR_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(edits("head", "head"), 0);
        assert_eq!(edits("haed", "head"), 2);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
    }

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
