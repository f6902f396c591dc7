//! From a path to what answers it: one hash, one probe, one comparison, however many routes.
//!
//! Every path that has an answer is a key, `/json/1` to `/json/50` and every static file among them,
//! so a request can name nothing that is not in the table, whatever it writes.

use std::fmt;

use http1::Status;
use http1::path::{self, PathError};

use crate::hash::hash;
use crate::store::EntryId;

/// What answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A stored answer.
    Fixed(EntryId),
    /// A sum of the query values and, if it is `body`, of the body of a POST.
    Sum {
        /// Whether POST is allowed.
        body: bool,
    },
    /// All items.
    AllItems,
    /// The first items.
    Items {
        /// How many.
        count: usize,
    },
    /// The number of octets sent.
    Upload,
    /// A static file.
    File(usize),
}

/// Paths and their routes: open addressing, half of the slots or more free.
pub(crate) struct Routes {
    slots: Box<[Option<Slot>]>,
    mask: usize,
    key_len_max: usize,
}

struct Slot {
    path: Box<[u8]>,
    route: Route,
}

impl Routes {
    /// A table of these paths, unescaped. `Err` names a path that is there twice.
    pub(crate) fn new(paths: Vec<(String, Route)>) -> Result<Self, String> {
        let size = (paths.len() * 2).next_power_of_two();
        let mut routes = Self {
            slots: std::iter::repeat_with(|| None).take(size).collect(),
            mask: size - 1,
            key_len_max: paths.iter().map(|(path, _)| path.len()).max().unwrap_or_default(),
        };
        for (path, route) in paths {
            let at = routes.slot(path.as_bytes());
            if routes.slots[at].is_some() {
                return Err(path);
            }
            routes.slots[at] = Some(Slot { path: path.into_bytes().into(), route });
        }
        Ok(routes)
    }

    /// The route of a path as it stands in a request target, or the status that refuses it.
    ///
    /// Escapes are decoded once (RFC 3986 2.4); see [`http1::path`] for what is never decoded.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Route, Status> {
        if !path.contains(&b'%')
            && let Some(route) = self.find_plain(path)
        {
            return Ok(route);
        }
        let mut room = [0; PATH_LEN_MAX];
        let plain = path::decode(path, &mut room).map_err(|error| match error {
            PathError::BadEscape | PathError::Forbidden => Status::S400,
            PathError::DotSegment | PathError::TooLong => Status::S404,
        });
        plain.and_then(|plain| self.find_plain(plain).ok_or(Status::S404))
    }

    fn find_plain(&self, path: &[u8]) -> Option<Route> {
        if path.len() > self.key_len_max {
            return None;
        }
        self.slots[self.slot(path)].as_ref().map(|slot| slot.route)
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

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.slots.iter().flatten().map(|slot| (slot.path.escape_ascii(), slot.route));
        f.debug_map().entries(rows).finish()
    }
}

/// The longest path, unescaped, that a table may hold.
pub(crate) const PATH_LEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Routes {
        let paths = ["/", "/a", "/static/app.js", "/static/d/x y.txt", "/static/100%.txt"];
        Routes::new(
            paths.iter().enumerate().map(|(at, p)| ((*p).to_owned(), Route::File(at))).collect(),
        )
        .expect("unique")
    }

    #[test]
    fn exact_paths_are_found() {
        let table = table();
        for (path, at) in [
            ("/", 0),
            ("/a", 1),
            ("/%61", 1),
            ("/static/app.js", 2),
            ("/static/%61pp%2Ejs", 2),
            ("/static/app%2ejs", 2),
            ("/static/d/x%20y.txt", 3),
            ("/static/100%25.txt", 4),
        ] {
            assert_eq!(table.find(path.as_bytes()), Ok(Route::File(at)), "{path}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let table = table();
        let long = format!("/{}", "%61".repeat(PATH_LEN_MAX));
        for path in [
            "",
            "a",
            "/A",
            "/a/",
            "//a",
            "/./a",
            "/b",
            "/static",
            "/static/",
            "/static/../a",
            "/static/%2e%2e/a",
            "/static/%2E./a",
            "/static/100%2525.txt",
            "/a?",
            &long,
        ] {
            assert_eq!(table.find(path.as_bytes()), Err(Status::S404), "{path}");
        }
        for path in [
            "/static%2fapp.js",
            "/static%2Fapp.js",
            "/static/d%5cx y.txt",
            "/static/app.js%00",
            "/%00",
            "/a%",
            "/a%6",
            "/%zz",
            "/%+1",
            "/static\\app.js",
            "/static/100%.txt",
        ] {
            assert_eq!(table.find(path.as_bytes()), Err(Status::S400), "{path}");
        }
    }

    #[test]
    fn a_doubled_path_is_named() {
        let paths = vec![("/a".to_owned(), Route::Upload), ("/a".to_owned(), Route::AllItems)];
        assert_eq!(Routes::new(paths).expect_err("doubled"), "/a");
    }

    #[test]
    fn a_thousand_paths_are_all_found() {
        let name = |at: usize| format!("/static/file-{at}.css");
        let table =
            Routes::new((0..1000).map(|at| (name(at), Route::File(at))).collect()).expect("unique");
        for at in 0..1000 {
            assert_eq!(table.find(name(at).as_bytes()), Ok(Route::File(at)));
        }
        assert_eq!(table.find(name(1000).as_bytes()), Err(Status::S404));
    }
}
