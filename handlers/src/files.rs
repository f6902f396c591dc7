//! Static files: one variant per content coding, each with its own entity-tag, and the decision
//! which answer a request gets.
//!
//! A range is a range of the variant that was chosen: the representation that is transferred is the
//! coded one (RFC 9110 8.4, 14.2), and its tag tells a client that resumes which one it was.

use http1::coding::{Accepted, Coding};
use http1::range::{Range, if_range_holds};
use http1::{HttpDate, Method, Request, Status, etag, parse_http_date};

use crate::answers::TEXT;
use crate::coding::{Differs, brotli_says, gzip_says};
use crate::error::BuildError;
use crate::hash::hash;
use crate::head::HeadPlan;
use crate::material::SourceFile;
use crate::media::media_type;
use crate::store::{Body, EntryId, StorePlan};

/// A static file in all its variants.
#[derive(Debug)]
pub(crate) struct File {
    /// The smallest coding first, identity last.
    variants: Box<[Variant]>,
    /// Codings of the variants, in their order.
    offers: Box<[Coding]>,
    /// Last-Modified, seconds since the epoch.
    modified: u64,
}

#[derive(Debug)]
struct Variant {
    /// The first of four answers: 200, 304, 206 and 416.
    first: EntryId,
    /// As in the ETag field, quotes included.
    tag: Box<str>,
    len: u64,
}

/// How a request for a file is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// As it stands in the store.
    Stored(EntryId),
    /// A part of the body that goes with this head.
    Part {
        /// A 206 head.
        head: EntryId,
        /// Offset of the first octet.
        first: u64,
        /// Octets.
        len: u64,
    },
    /// A precondition failed: 412.
    Failed,
}

/// What the preconditions and the range of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    NotModified,
    Part { first: u64, len: u64 },
    Unsatisfiable,
    Failed,
}

impl File {
    /// Checks a file and plans its answers.
    pub(crate) fn plan<'m>(
        source: &'m SourceFile,
        store: &mut StorePlan<'m>,
    ) -> Result<Self, BuildError> {
        check_siblings(source)?;
        let mut variants = Vec::new();
        let mut offers = Vec::new();
        let coded = source.brotli.is_some() || source.gzip.is_some();
        for (coding, octets) in [
            (Coding::Br, source.brotli.as_deref()),
            (Coding::Gzip, source.gzip.as_deref()),
            (Coding::Identity, Some(source.bytes.as_slice())),
        ] {
            let Some(octets) = octets else { continue };
            variants.push(plan_variant(source, coding, octets, coded, store)?);
            offers.push(coding);
        }
        Ok(Self {
            variants: variants.into(),
            offers: offers.into(),
            modified: source.modified_unix,
        })
    }

    /// The answer to a GET or HEAD request for this file.
    pub(crate) fn serve(&self, request: &Request<'_>) -> Served {
        let coding = match self.offers.len() {
            1 => Coding::Identity,
            _ => accepted(request, &self.offers),
        };
        let chosen = self.offers.iter().zip(&self.variants).find(|(offer, _)| **offer == coding);
        let variant = chosen.map_or(&self.variants[self.variants.len() - 1], |(_, found)| found);
        match self.judge(variant, request) {
            Outcome::Whole => Served::Stored(variant.first),
            Outcome::NotModified => Served::Stored(variant.first.plus(NOT_MODIFIED)),
            Outcome::Part { first, len } => {
                Served::Part { head: variant.first.plus(PARTIAL), first, len }
            }
            Outcome::Unsatisfiable => Served::Stored(variant.first.plus(UNSATISFIABLE)),
            Outcome::Failed => Served::Failed,
        }
    }

    /// Preconditions in the order of RFC 9110 13.2.2.
    fn judge(&self, variant: &Variant, request: &Request<'_>) -> Outcome {
        let tag = variant.tag.as_bytes();
        let date = |name: &str| request.field(name).and_then(parse_http_date);
        if request.field("if-match").is_some() {
            if !etag::any_strong(request.fields("if-match"), tag) {
                return Outcome::Failed;
            }
        } else if date("if-unmodified-since").is_some_and(|since| self.modified > since) {
            return Outcome::Failed;
        }
        if request.field("if-none-match").is_some() {
            if etag::any_weak(request.fields("if-none-match"), tag) {
                return Outcome::NotModified;
            }
        } else if date("if-modified-since").is_some_and(|since| self.modified <= since) {
            return Outcome::NotModified;
        }
        //= RFC 9110 14.2: a server MUST ignore Range in a request with a method other than GET.
        let range = request.field("range").filter(|_| request.method() == Method::Get);
        let holds = |value: &[u8]| if_range_holds(value, tag, Some(self.modified));
        let range = range.filter(|_| request.field("if-range").is_none_or(holds));
        match range.map_or(Range::Whole, |value| Range::parse(value, variant.len)) {
            Range::Whole => Outcome::Whole,
            Range::Part { first, last } => Outcome::Part { first, len: last - first + 1 },
            Range::Unsatisfiable => Outcome::Unsatisfiable,
        }
    }
}

/// The coding of `offers` that a client prefers. One that takes none of them gets identity: better
/// the content than a 406 that says there is some (RFC 9110 12.5.3).
pub(crate) fn accepted(request: &Request<'_>, offers: &[Coding]) -> Coding {
    let values = request.fields("accept-encoding");
    Accepted::from_values(values).choose(offers).unwrap_or(Coding::Identity)
}

fn plan_variant<'m>(
    source: &'m SourceFile,
    coding: Coding,
    octets: &'m [u8],
    coded: bool,
    store: &mut StorePlan<'m>,
) -> Result<Variant, BuildError> {
    let name = source.name.as_str();
    let tag = tag(coding, octets);
    let vary = coded.then_some("Accept-Encoding");
    let head = |status| {
        HeadPlan::new(status)
            .field("ETag", &tag)
            .field(
                "Last-Modified",
                HttpDate::from_unix(source.modified_unix).as_bytes().escape_ascii(),
            )
            .field("Cache-Control", CACHE_CONTROL)
            .maybe("Vary", vary)
    };
    let content = |status| {
        head(status)
            .field("Content-Type", media_type(name))
            .field("X-Content-Type-Options", "nosniff")
            .field("Accept-Ranges", "bytes")
            .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
    };
    let whole = content(Status::S200).field("Content-Length", octets.len());
    let first = store.add(name, whole, Body::Own(octets.into()))?;
    let not_modified = store.add(name, head(Status::S304), Body::Empty)?;
    let partial = store.add(name, content(Status::S206).open_range(), Body::Of(first))?;
    let excuse = "416 Range Not Satisfiable\n";
    let unsatisfiable = HeadPlan::new(Status::S416)
        .field("Content-Range", format_args!("bytes */{}", octets.len()))
        .maybe("Vary", vary)
        .field("Content-Type", TEXT)
        .field("Content-Length", excuse.len());
    let unsatisfiable = store.add(name, unsatisfiable, Body::Own(excuse.as_bytes().into()))?;
    assert_eq!(not_modified, first.plus(NOT_MODIFIED));
    assert_eq!(partial, first.plus(PARTIAL));
    assert_eq!(unsatisfiable, first.plus(UNSATISFIABLE));
    Ok(Variant { first, tag: tag.into(), len: octets.len() as u64 })
}

/// A strong entity-tag: a hash of the octets that are transferred, and the name of their coding, so
/// that no two variants share one (RFC 9110 8.8.3.3).
fn tag(coding: Coding, octets: &[u8]) -> String {
    let ending = match coding {
        Coding::Identity => "",
        Coding::Gzip => "-gzip",
        Coding::Br => "-br",
    };
    format!("\"{:016x}{ending}\"", hash(octets))
}

fn check_siblings(source: &SourceFile) -> Result<(), BuildError> {
    let check = |coding: &'static str, result: Option<Result<(), Differs>>| {
        let found = match result {
            None | Some(Ok(())) => return Ok(()),
            Some(Err(Differs::Broken)) => "no such stream".to_owned(),
            Some(Err(Differs::At(at))) => format!("a difference at octet {at}"),
        };
        let expected = "unpack to the same octets";
        Err(BuildError::Sibling { name: source.name.clone(), coding, expected, found })
    };
    check(".br", source.brotli.as_ref().map(|coded| brotli_says(coded, &source.bytes)))?;
    check(".gz", source.gzip.as_ref().map(|coded| gzip_says(coded, &source.bytes)))
}

const NOT_MODIFIED: u32 = 1;
const PARTIAL: u32 = 2;
const UNSATISFIABLE: u32 = 3;

/// Names do not change with the content here, so caches may keep a file for minutes, not for good;
/// then its tag spares the transfer.
const CACHE_CONTROL: &str = "public, max-age=300";
