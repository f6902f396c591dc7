//! What a request brought along: the segments its path was matched with, its query, its body.

use http1::coding::Accepted;

/// The raw inputs of one request, borrowed.
#[derive(Clone, Copy, derive_more::Debug)]
#[debug("Inputs({:?}, {}, {})", self.captures(), query.escape_ascii(), body.escape_ascii())]
pub struct Inputs<'a> {
    captures: [(&'a str, &'a str); CAPTURES_MAX],
    captures_len: usize,
    query: &'a [u8],
    body: &'a [u8],
    accepted: Accepted,
}

impl<'a> Inputs<'a> {
    /// Inputs of these parts: segments of the path with their names (escapes decoded), the query
    /// without its `?` (escapes as sent), the body, and the codings that the client takes.
    ///
    /// # Panics
    /// If there are more than [`CAPTURES_MAX`] captures.
    pub fn new(
        captures: impl IntoIterator<Item = (&'a str, &'a str)>,
        query: &'a [u8],
        body: &'a [u8],
        accepted: Accepted,
    ) -> Self {
        let mut room = [("", ""); CAPTURES_MAX];
        let mut captures_len = 0;
        for capture in captures {
            assert!(captures_len < CAPTURES_MAX, "a path has few parameters");
            room[captures_len] = capture;
            captures_len += 1;
        }
        Self { captures: room, captures_len, query, body, accepted }
    }

    /// The segments that the path was matched with, name and text, in the order of the path.
    pub fn captures(&self) -> &[(&'a str, &'a str)] {
        &self.captures[..self.captures_len]
    }

    /// The segment called `name`, escapes decoded.
    pub fn capture(&self, name: &str) -> Option<&'a str> {
        self.captures().iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
    }

    /// The query without its `?`, escapes as sent. Empty if there was none.
    pub fn query(&self) -> &'a [u8] {
        self.query
    }

    /// The body. Empty if there was none, and for GET and HEAD.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The codings that the client takes.
    pub fn accepted(&self) -> Accepted {
        self.accepted
    }
}

/// The most `{name}` segments that a path may have.
pub const CAPTURES_MAX: usize = 4;
