//! From a path to what answers it. Immutable; nothing here allocates while it finds.
//!
//! Whole paths come first (every static file, and `/json/1` to `/json/50` of `/json/{count}`, among
//! them), then patterns that end where the path ends, then those that stand for what is below them.
//! Among two of a kind the one counts whose first differing segment is a text; then the longer.
//! Work grows with the segments of a path, not with the number of routes.

mod exact;
mod hit;
mod pattern;
mod tree;

use http1::Status;
use http1::path::{self, PathError};

use exact::Exact;
pub(crate) use hit::{Captures, Hit};
pub(crate) use pattern::{PATH_LEN_MAX, Pattern, PatternError};
use tree::Tree;

/// All paths of a site.
#[derive(derive_more::Debug)]
#[debug("Router {{ patterns: {} }}", tree.is_some())]
pub(crate) struct Router {
    exact: Exact,
    tree: Option<Tree>,
}

impl Router {
    /// A router of exact paths and of patterns, no two of the same shape. `listed` are paths that
    /// a pattern matches and that are asked for so often that they are looked up whole.
    pub(crate) fn new(
        exact: impl IntoIterator<Item = (String, u32)>,
        patterns: &[(Pattern, u32)],
        listed: impl IntoIterator<Item = String>,
    ) -> Self {
        let whole = |(path, target)| (path, Hit { target, captures: Captures::default() });
        let mut paths: Vec<_> = exact.into_iter().map(whole).collect();
        let tree = (!patterns.is_empty())
            .then(|| Tree::new(patterns.iter().map(|(pattern, target)| (pattern, *target))));
        if let Some(tree) = &tree {
            let hits = listed.into_iter().filter_map(|path| {
                let hit = tree.find(path.as_bytes())?;
                Some((path, hit))
            });
            // Behind the exact ones: the first of two counts.
            paths.extend(hits);
        }
        Self { exact: Exact::new(paths), tree }
    }

    /// Finds a path as it stands in a request target, if it has no escape; the path itself is what
    /// the captures refer to.
    ///
    /// # Errors
    /// The status that refuses it.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Hit, Status> {
        match self.exact.find(path) {
            Some(hit) => Ok(*hit),
            None if is_plain(path) => self.find_inexact(path),
            None => path::decode(path, &mut []).map_err(refusal).and_then(|p| self.find_inexact(p)),
        }
    }

    /// Finds a path with escapes, which are decoded once (RFC 3986 2.4) into `room`; see
    /// [`http1::path`] for what is never decoded.
    ///
    /// # Errors
    /// The status that refuses it.
    pub(crate) fn find_escaped<'r>(
        &self,
        path: &'r [u8],
        room: &'r mut [u8; PATH_LEN_MAX],
    ) -> Result<(Hit, &'r [u8]), Status> {
        if path::has_escaped_separator(path) {
            return self.find_marked(path, room);
        }
        let plain = path::decode(path, room).map_err(refusal)?;
        let hit = match self.exact.find(plain) {
            Some(hit) => *hit,
            None => self.find_inexact(plain)?,
        };
        Ok((hit, plain))
    }

    /// Finds a path with an escaped `/` or `\`, which is data of its segment (RFC 3986 2.2): a captured segment may
    /// have it, and no other has.
    #[cold]
    fn find_marked<'r>(
        &self,
        path: &[u8],
        room: &'r mut [u8; PATH_LEN_MAX],
    ) -> Result<(Hit, &'r [u8]), Status> {
        let len = path::decode_marked(path, room).map_err(refusal)?;
        let plain = &mut room[..len];
        let hit = self.find_inexact(plain).map_err(|_| Status::S400)?;
        hit.captures.each_in(plain, path::unmark);
        match path::is_marked(plain) {
            true => Err(Status::S400),
            false => Ok((hit, plain)),
        }
    }

    fn find_inexact(&self, plain: &[u8]) -> Result<Hit, Status> {
        let fits = plain.len() <= PATH_LEN_MAX;
        let hit = self.tree.as_ref().filter(|_| fits).and_then(|tree| tree.find(plain));
        hit.ok_or(Status::S404)
    }
}

/// Whether [`path::decode`] has nothing to do and nothing to find in a path: the common case, found
/// out without a branch for each byte.
fn is_plain(path: &[u8]) -> bool {
    let is_odd = |b: u8| b < b' ' || matches!(b, b'%' | b'.' | b'\\' | 0x7f);
    !path.iter().fold(false, |odd, &b| odd | is_odd(b))
}

fn refusal(error: PathError) -> Status {
    match error {
        PathError::BadEscape | PathError::Forbidden => Status::S400,
        PathError::DotSegment | PathError::TooLong => Status::S404,
    }
}

#[cfg(test)]
mod tests;
