//! What a path leads to.

use crate::request::CAPTURES_MAX;

use super::pattern::PATH_LEN_MAX;

/// What a path leads to, and the segments that were captured on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// As it was given to [`Router::new`].
    pub(crate) target: u32,
    pub(crate) captures: Captures,
}

/// Where the captured segments of a path are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captures {
    /// Offset and length.
    spans: [(u16, u16); CAPTURES_MAX],
    len: u8,
}

impl Captures {
    /// The captured segments of `path`, in order.
    pub(crate) fn of<'p>(&self, path: &'p [u8]) -> impl Iterator<Item = &'p [u8]> + use<'_, 'p> {
        let spans = &self.spans[..usize::from(self.len)];
        spans.iter().map(|&(at, len)| &path[usize::from(at)..][..usize::from(len)])
    }

    /// Does `change` to each captured segment of `path`.
    pub(super) fn each_in(&self, path: &mut [u8], change: impl Fn(&mut [u8])) {
        for &(at, len) in &self.spans[..usize::from(self.len)] {
            change(&mut path[usize::from(at)..][..usize::from(len)]);
        }
    }

    pub(super) fn push(&mut self, at: usize, len: usize) {
        let short = |number: usize| u16::try_from(number).expect("within PATH_LEN_MAX");
        self.spans[usize::from(self.len)] = (short(at), short(len));
        self.len += 1;
    }

    pub(super) fn pop(&mut self) {
        self.len -= 1;
    }
}

const _: () = assert!(PATH_LEN_MAX <= u16::MAX as usize, "spans of a path are 16 bits");
