//! Sets of CPUs in the three formats of the kernel's files.

use serde::{Deserialize, Serialize};

use crate::cores::parse_list;

/// How a file spells its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// A word or a number.
    Word,
    /// A list of CPUs: `0-1,4`.
    List,
    /// A mask of CPUs: hexadecimal, a comma before every 32 bits from the right (`ff,ffffffff`).
    Mask,
}

impl Format {
    /// The CPUs that `text` names; `None` if it is no set of CPUs.
    pub(super) fn cpus(self, text: &str) -> Option<Vec<usize>> {
        match self {
            Self::Word => None,
            Self::List => parse_list(text),
            Self::Mask => parse_mask(text),
        }
    }

    /// `cpus` (ascending) in this format, which is not [`Word`](Self::Word).
    pub(super) fn spell(self, cpus: &[usize]) -> String {
        match self {
            Self::Mask => spell_mask(cpus),
            Self::Word | Self::List => spell_list(cpus),
        }
    }

    /// Whether two texts mean the same value.
    pub(super) fn same(self, one: &str, other: &str) -> bool {
        match (self.cpus(one), self.cpus(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
    }
}

/// `cpus` (ascending) with ranges, as the kernel writes them.
fn spell_list(cpus: &[usize]) -> String {
    let ranges = cpus.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn parse_mask(text: &str) -> Option<Vec<usize>> {
    let digits: Vec<u32> =
        text.chars().rev().filter(|c| *c != ',').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if digits.is_empty() {
        return None;
    }
    let bits = digits.iter().enumerate().flat_map(|(place, digit)| {
        (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| place * 4 + bit)
    });
    Some(bits.collect())
}

fn spell_mask(cpus: &[usize]) -> String {
    let groups = cpus.last().map_or(1, |last| last / 32 + 1);
    let mut words = vec![0_u32; groups];
    for cpu in cpus {
        words[cpu / 32] |= 1 << (cpu % 32);
    }
    let mut words = words.iter().rev();
    let first = format!("{:x}", words.next().copied().unwrap_or_default());
    words.fold(first, |text, word| format!("{text},{word:08x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_and_written() {
        assert_eq!(parse_mask("3"), Some(vec![0, 1]));
        assert_eq!(parse_mask("00000000,00000005"), Some(vec![0, 2]));
        assert_eq!(parse_mask("80000001,00000000"), Some(vec![32, 63]));
        assert_eq!(parse_mask("0"), Some(vec![]));
        assert_eq!((parse_mask(""), parse_mask("x")), (None, None));
        for cpus in [&[][..], &[0], &[31, 32], &[0, 63, 64, 127]] {
            assert_eq!(parse_mask(&spell_mask(cpus)).as_deref(), Some(cpus));
        }
        assert_eq!(spell_mask(&[4, 40]), "100,00000010");
    }

    #[test]
    fn lists_have_ranges() {
        assert_eq!(spell_list(&[0, 1, 2, 4, 6, 7]), "0-2,4,6-7");
        assert_eq!(spell_list(&[]), "");
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        assert!(Format::Mask.same("00000000,00000001", "1"));
        assert!(Format::List.same("0,1", "0-1"));
        assert!(!Format::List.same("0,1", "0"));
        assert!(Format::Word.same("performance", "performance"));
        assert!(!Format::Word.same("0", "00"), "words are words");
    }
}
