//! Whole paths: one hash, one probe, one comparison, however many there are.

use crate::hash::hash;

use super::hit::Hit;

/// Paths and what they lead to: open addressing, half of the slots or more free.
pub(super) struct Exact {
    slots: Box<[Option<Slot>]>,
    mask: usize,
    key_len_max: usize,
}

struct Slot {
    path: Box<[u8]>,
    hit: Hit,
}

impl Exact {
    /// A table of these paths, escapes decoded. Of a path that is there twice the first counts.
    pub(super) fn new(paths: Vec<(String, Hit)>) -> Self {
        let size = (paths.len() * 2).next_power_of_two();
        let mut table = Self {
            slots: std::iter::repeat_with(|| None).take(size).collect(),
            mask: size - 1,
            key_len_max: paths.iter().map(|(path, _)| path.len()).max().unwrap_or_default(),
        };
        for (path, hit) in paths {
            let at = table.slot(path.as_bytes());
            table.slots[at].get_or_insert_with(|| Slot { path: path.into_bytes().into(), hit });
        }
        table
    }

    /// What a path leads to.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Hit> {
        if path.len() > self.key_len_max {
            return None;
        }
        self.slots[self.slot(path)].as_ref().map(|slot| &slot.hit)
    }

    /// The slot where `path` is, or the free one where it would be.
    fn slot(&self, path: &[u8]) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is wanted")]
        let mut at = hash(path) as usize & self.mask;
        while self.slots[at].as_ref().is_some_and(|slot| *slot.path != *path) {
            at = (at + 1) & self.mask;
        }
        at
    }
}
