//! The response store: every head template and every stored body in one stretch of memory.
//!
//! Planned first, so that the memory is asked for once and at its exact size; then laid down and
//! never changed. A head and its body are contiguous, each pair starts on a cache line.

use http1::Status;
use std::borrow::Cow;

use crate::build_progress::{BuildProgress, Cancelled};
use crate::error::BuildError;
use crate::head::{HeadTemplate, HeadTooLong};
use crate::source::Bytes;

/// A response in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryId(u32);

impl EntryId {
    /// The entry that was added `offset` entries after this one.
    pub(crate) fn plus(self, offset: u32) -> Self {
        Self(self.0 + offset)
    }
}

/// Responses that are to be stored.
#[derive(Default)]
pub(crate) struct StoreBuilder<'m> {
    entries: Vec<(HeadTemplate, Body<'m>)>,
}

/// The body of a planned response.
pub(crate) enum Body<'m> {
    /// No bytes.
    Empty,
    /// Its own bytes.
    Own(Cow<'m, [u8]>),
    /// The bytes of another response.
    Of(EntryId),
}

impl<'m> StoreBuilder<'m> {
    /// Plans one response.
    pub(crate) fn add(
        &mut self,
        head: HeadTemplate,
        body: Body<'m>,
    ) -> Result<EntryId, HeadTooLong> {
        head.check()?;
        let id = u32::try_from(self.entries.len()).expect("fewer than 2^32 responses");
        self.entries.push((head, body));
        Ok(EntryId(id))
    }

    /// Takes memory of the size needed and lays everything down.
    pub(crate) fn build(
        self,
        memory: impl FnOnce(usize) -> Box<dyn Bytes>,
        progress: &BuildProgress,
    ) -> Result<Store, BuildError> {
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut size = 0_usize;
        for (head, body) in &self.entries {
            let own = match body {
                Body::Own(bytes) => bytes.len(),
                Body::Empty | Body::Of(_) => 0,
            };
            let head_at = size.next_multiple_of(ENTRY_ALIGN);
            let head_len = head.text.len();
            let (body_at, body_len) = match body {
                Body::Of(EntryId(id)) => {
                    let other: &Entry = &entries[*id as usize];
                    (other.body_at, other.body_len)
                }
                Body::Empty | Body::Own(_) => (head_at + head_len, own),
            };
            size = head_at + head_len + own;
            entries.push(Entry {
                head_at,
                head_len,
                date_at: head.date_at,
                body_at,
                body_len,
                status: head.status,
            });
        }
        progress.check().map_err(|Cancelled| BuildError::Cancelled)?;
        let mut memory = memory(size);
        let bytes = (*memory).as_mut();
        if bytes.len() < size {
            return Err(BuildError::Memory { expected: size, found: bytes.len() });
        }
        for ((head, body), entry) in self.entries.iter().zip(&entries) {
            progress.check().map_err(|Cancelled| BuildError::Cancelled)?;
            bytes[entry.head_at..][..entry.head_len].copy_from_slice(head.text.as_bytes());
            if let Body::Own(own) = body {
                bytes[entry.body_at..][..entry.body_len].copy_from_slice(own);
            }
        }
        Ok(Store { memory, entries: entries.into() })
    }
}

/// Responses, stored.
#[derive(derive_more::Debug)]
#[debug("Store {{ entries: {} }}", entries.len())]
pub(crate) struct Store {
    memory: Box<dyn Bytes>,
    entries: Box<[Entry]>,
}

#[derive(Clone, Copy)]
struct Entry {
    head_at: usize,
    head_len: usize,
    date_at: usize,
    body_at: usize,
    body_len: usize,
    status: Status,
}

impl Store {
    /// Status of a response.
    pub(crate) fn status(&self, id: EntryId) -> Status {
        self.entry(id).status
    }

    /// Head template of a response, and where in it the date goes.
    pub(crate) fn head(&self, id: EntryId) -> (&[u8], usize) {
        let entry = self.entry(id);
        (&self.bytes()[entry.head_at..][..entry.head_len], entry.date_at)
    }

    /// Body of a response.
    pub(crate) fn body(&self, id: EntryId) -> &[u8] {
        let entry = self.entry(id);
        &self.bytes()[entry.body_at..][..entry.body_len]
    }

    /// Length of the body of a response, in bytes.
    pub(crate) fn body_len(&self, id: EntryId) -> u64 {
        self.entry(id).body_len as u64
    }

    fn entry(&self, EntryId(id): EntryId) -> &Entry {
        &self.entries[id as usize]
    }

    fn bytes(&self) -> &[u8] {
        (*self.memory).as_ref()
    }
}

/// A cache line.
const ENTRY_ALIGN: usize = 64;

#[cfg(test)]
mod tests {
    use http1::HEAD_OUT_MAX;

    use super::*;

    fn head() -> HeadTemplate {
        HeadTemplate::new(Status::S200).field("Content-Length", 2)
    }

    #[test]
    fn a_head_without_room_is_refused() {
        let mut plan = StoreBuilder::default();
        let spare = HEAD_OUT_MAX - head().len_max() - "X: \r\n".len();
        plan.add(head().field("X", "x".repeat(spare)), Body::Empty).expect("just fits");
        let long = head().field("X", "x".repeat(spare + 1));
        let error = plan.add(long, Body::Empty).expect_err("one too many");
        assert_eq!(error, HeadTooLong(1025));
    }

    #[test]
    fn heads_and_bodies_lie_together_and_apart_from_others() {
        let mut plan = StoreBuilder::default();
        let one = plan.add(head(), Body::Own(b"ok"[..].into())).expect("short");
        let none = plan.add(head(), Body::Empty).expect("short");
        let same = plan.add(head(), Body::Of(one)).expect("short");
        let two = plan.add(head(), Body::Own(b"no"[..].into())).expect("short");
        let mut size = 0;
        let store = plan
            .build(
                |asked| {
                    size = asked;
                    Box::new(vec![0; asked])
                },
                &BuildProgress::default(),
            )
            .expect("enough");
        assert_eq!(
            [one, none, same, two].map(|id| store.body(id)),
            [&b"ok"[..], b"", b"ok", b"no"]
        );
        let text = head().text;
        for id in [one, none, same, two] {
            assert_eq!(store.head(id), (text.as_bytes(), "HTTP/1.1 200 OK\r\nDate: ".len()));
        }
        let last = store.entry(two);
        assert_eq!(last.head_at % ENTRY_ALIGN, 0);
        assert_eq!((last.body_at, size), (last.head_at + text.len(), last.body_at + 2));
    }
}
