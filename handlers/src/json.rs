//! The data set as answers: `/json`, and `/json/{count}` for every count and multiplier.
//!
//! Plain bodies are rendered per request. Coded bodies of the multipliers that are asked for in
//! practice are made when the site is built; any other multiplier is answered plain.

use http1::coding::Coding;
use http1::{Request, Status};

use crate::coding;
use crate::dataset::Item;
use crate::error::BuildError;
use crate::files::accepted;
use crate::head::HeadPlan;
use crate::items::{Ask, Items};
use crate::store::{Body, EntryId, Store, StorePlan};

/// Where the answers made of items are in the store.
#[derive(Debug)]
pub(crate) struct Json {
    items: Items,
    /// Open head of a rendered body, and the constant text of the items.
    rendered: EntryId,
    /// The first of the answers with all items, in the order of [`Coding::ALL`].
    all: EntryId,
    /// The first of the coded answers: see [`Json::coded`].
    coded: EntryId,
    count_max: usize,
}

/// How a request for items is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// As it stands in the store.
    Stored(EntryId),
    /// Rendered; `len` is the length of the body.
    Rendered {
        /// What was asked for.
        ask: Ask,
        /// Octets of the body.
        len: u32,
    },
}

impl Json {
    /// Plans all of them.
    pub(crate) fn plan(items: &[Item], store: &mut StorePlan<'_>) -> Result<Self, BuildError> {
        let all = plan_all(items, store)?;
        let count_max = items.len().min(COUNT_MAX);
        let (items, text) = Items::plan(items, count_max);
        let coded = plan_coded(&items, &text, count_max, store)?;
        let head = json_head(Coding::Identity).open_length();
        let rendered = store.add("/json/{count}", head, Body::Own(text.into()))?;
        Ok(Self { items, rendered, all, coded, count_max })
    }

    /// The largest count that has a path.
    pub(crate) fn count_max(&self) -> usize {
        self.count_max
    }

    /// All items, in the coding that the client prefers.
    pub(crate) fn all(&self, request: &Request<'_>) -> EntryId {
        self.all.plus(accepted(request, OFFERS) as u32)
    }

    /// Some items, in the coding that the client prefers if there is one for this `k`.
    pub(crate) fn some(&self, ask: Ask, request: &Request<'_>) -> Told {
        if let Some(row) = coded_row(ask, self.count_max) {
            match accepted(request, OFFERS) {
                Coding::Identity => {}
                Coding::Gzip => return Told::Stored(self.coded.plus(2 * row)),
                Coding::Br => return Told::Stored(self.coded.plus(2 * row + 1)),
            }
        }
        let len = u32::try_from(self.items.body_len(ask)).expect("fewer than 4 GiB of items");
        Told::Rendered { ask, len }
    }

    /// The head that rendered bodies go with.
    pub(crate) fn rendered(&self) -> EntryId {
        self.rendered
    }

    /// Writes what fits of a rendered body of `len` octets, from offset `at`; returns how much.
    pub(crate) fn render(
        &self,
        store: &Store,
        ask: Ask,
        len: u32,
        at: usize,
        out: &mut [u8],
    ) -> usize {
        let text = store.body(self.rendered);
        if at == 0 && out.len() >= len as usize {
            self.items.write(text, ask, out)
        } else {
            self.items.write_from(text, ask, at, out)
        }
    }
}

fn plan_all(items: &[Item], store: &mut StorePlan<'_>) -> Result<EntryId, BuildError> {
    let count = items.len();
    let (items, text) = Items::plan(items, count);
    let body = items.to_vec(&text, count, 1);
    let gzip = coding::gzip(&body, GZIP_LEVEL);
    let quality = if body.len() <= BEST_LEN_MAX { BROTLI_BEST } else { BROTLI_QUICK };
    let brotli = coding::brotli(&body, quality);
    let first = add(store, Coding::Identity, body)?;
    add(store, Coding::Gzip, gzip)?;
    add(store, Coding::Br, brotli)?;
    Ok(first)
}

fn plan_coded(
    items: &Items,
    text: &[u8],
    count_max: usize,
    store: &mut StorePlan<'_>,
) -> Result<EntryId, BuildError> {
    let mut first = None;
    for k in CODED_K {
        for count in 1..=count_max {
            let body = items.to_vec(text, count, k);
            let gzip = add(store, Coding::Gzip, coding::gzip(&body, GZIP_LEVEL))?;
            add(store, Coding::Br, coding::brotli(&body, BROTLI_QUICK))?;
            first = first.or(Some(gzip));
        }
    }
    Ok(first.expect("a data set has an item"))
}

/// Which pair of coded answers belongs to `ask`: first by multiplier, then by count.
fn coded_row(ask: Ask, count_max: usize) -> Option<u32> {
    let k = usize::try_from(ask.k).ok().filter(|_| CODED_K.contains(&ask.k))?;
    u32::try_from((k - 1) * count_max + ask.count - 1).ok()
}

fn add(store: &mut StorePlan<'_>, coding: Coding, body: Vec<u8>) -> Result<EntryId, BuildError> {
    let head = json_head(coding).field("Content-Length", body.len());
    store.add("/json", head, Body::Own(body.into()))
}

fn json_head(coding: Coding) -> HeadPlan {
    HeadPlan::new(Status::S200)
        .field("Content-Type", "application/json")
        .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
        .field("Vary", "Accept-Encoding")
}

/// In the order of preference among equals: the smallest first.
const OFFERS: &[Coding] = &[Coding::Br, Coding::Gzip, Coding::Identity];

/// Counts from 1 to this have a path.
const COUNT_MAX: usize = 50;

/// Multipliers whose coded bodies are made when the site is built.
const CODED_K: std::ops::RangeInclusive<i64> = 1..=8;

const GZIP_LEVEL: u32 = 9;
const BROTLI_BEST: i32 = 11;
/// Beyond this length the best quality takes longer than a start should.
const BEST_LEN_MAX: usize = 64 * 1024;
/// Chosen so that 400 bodies are coded in a fraction of a second: see README.
const BROTLI_QUICK: i32 = 6;
