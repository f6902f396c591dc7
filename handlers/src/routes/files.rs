//! Static files: one variant per content coding, each with its own entity-tag, and the decision
//! which response a request gets.
//!
//! A range is a range of the variant that was chosen: the representation that is transferred is the
//! coded one (RFC 9110 8.4, 14.2), and its tag tells a client that resumes which one it was.

use std::borrow::Cow;

use http1::coding::{Accepted, Coding};
use http1::range::{Range, if_range_holds};
use http1::{HttpDate, Method, Request, Status, etag, parse_http_date};

use crate::coding::{Mismatch, best, brotli_matches, chosen, gzip_matches, offers};
use crate::config::{Compress, RouteConfig};
use crate::error::{BuildError, PlanError};
use crate::fault::Fault;
use crate::fields::{FIELD_VALUE_FIX, Fields, is_field_value};
use crate::hash::hash;
use crate::head::{HeadTemplate, HeadTooLong};
use crate::media::{is_compressible, media_type};
use crate::response::TEXT;
use crate::router::PATH_LEN_MAX;
use crate::routes::fixed::tag_ending;
use crate::source::SourceFile;
use crate::store::{Body, EntryId, StoreBuilder};

/// What holds for all files of a route.
#[derive(Debug)]
pub(crate) struct Manner<'a> {
    /// Codings that are made where there is no sibling.
    made: Box<[Coding]>,
    cache_control: Option<&'a str>,
    fields: Fields,
}

impl<'a> Manner<'a> {
    /// Checks a route of files.
    pub(crate) fn new(
        plan: &RouteConfig,
        index: Option<&str>,
        cache_control: Option<&'a str>,
        fields: &Fields,
    ) -> Result<Self, Fault> {
        if !plan.below {
            let fix = "let the path end in a slash: /static/";
            let problem = "files are what is below a path";
            return Err(Fault::new("path", &plan.path, problem, fix));
        }
        if let Some(name) = index.filter(|name| name.is_empty() || name.contains('/')) {
            let problem = "this is no name of a file";
            return Err(Fault::new("index", name, problem, "write one, such as index.html"));
        }
        if let Some(value) = cache_control.filter(|value| !is_field_value(value)) {
            let problem = "the value is no field value";
            return Err(Fault::new("cache_control", value, problem, FIELD_VALUE_FIX));
        }
        let made = match &plan.compress {
            Compress::Off => Box::default(),
            Compress::Precomputed(codings) => offers(codings)?,
            Compress::PerRequest(_) => {
                let problem = "a file is the same for every request";
                return Err(Fault::new("compress", "per-request", problem, "write precomputed"));
            }
        };
        Ok(Self { made, cache_control, fields: fields.clone() })
    }
}

/// A static file in all its variants.
#[derive(Debug)]
pub(crate) struct File {
    variants: Box<[Variant]>,
    /// Codings of the variants, in their order: the preference among equals. Identity is one.
    offers: Box<[Coding]>,
    /// Last-Modified, seconds since the epoch.
    modified: u64,
}

#[derive(Debug)]
struct Variant {
    /// The first of four responses: 200, 304, 206 and 416.
    first: EntryId,
    /// As in the ETag field, quotes included.
    tag: Box<str>,
    len: u64,
}

/// How a request for a file is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileResponse {
    /// As it stands in the store.
    Stored(EntryId),
    /// A part of the body that goes with this head.
    Part {
        /// A 206 head.
        head: EntryId,
        /// Offset of the first byte.
        first: u64,
        /// Bytes.
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
    /// Checks a file and plans its responses.
    pub(crate) fn plan<'m>(
        source: &'m SourceFile,
        manner: &Manner<'_>,
        store: &mut StoreBuilder<'m>,
    ) -> Result<Self, PlanError> {
        check_siblings(source)?;
        let mut coded: Vec<(Coding, Cow<'m, [u8]>)> = Vec::new();
        for (coding, sibling) in [(Coding::Br, &source.brotli), (Coding::Gzip, &source.gzip)] {
            if let Some(bytes) = sibling {
                coded.push((coding, bytes.into()));
            } else if manner.made.contains(&coding) && is_compressible(media_type(&source.name)) {
                let bytes = best(coding, &source.bytes);
                if bytes.len() < source.bytes.len() {
                    coded.push((coding, bytes.into()));
                }
            }
        }
        let is_coded = !coded.is_empty();
        coded.push((Coding::Identity, source.bytes.as_slice().into()));
        let rank = |coding| manner.made.iter().position(|&made| made == coding);
        coded.sort_by_key(|&(coding, _)| rank(coding).unwrap_or(manner.made.len()));
        let mut variants = Vec::new();
        let mut offers = Vec::new();
        for (coding, bytes) in coded {
            variants.push(plan_variant(source, coding, bytes, is_coded, manner, store)?);
            offers.push(coding);
        }
        Ok(Self {
            variants: variants.into(),
            offers: offers.into(),
            modified: source.modified_unix,
        })
    }

    /// The response to a GET or HEAD request for this file.
    pub(crate) fn serve(&self, request: &Request<'_>) -> FileResponse {
        let coding = match self.offers.len() {
            1 => Coding::Identity,
            _ => chosen(Accepted::from_values(request.fields("accept-encoding")), &self.offers),
        };
        let at = self.offers.iter().position(|&offer| offer == coding);
        let variant = &self.variants[at.expect("identity is offered")];
        match self.evaluate(variant, request) {
            Outcome::Whole => FileResponse::Stored(variant.first),
            Outcome::NotModified => FileResponse::Stored(variant.first.plus(NOT_MODIFIED)),
            Outcome::Part { first, len } => {
                FileResponse::Part { head: variant.first.plus(PARTIAL), first, len }
            }
            Outcome::Unsatisfiable => FileResponse::Stored(variant.first.plus(UNSATISFIABLE)),
            Outcome::Failed => FileResponse::Failed,
        }
    }

    /// Preconditions in the order of RFC 9110 13.2.2.
    fn evaluate(&self, variant: &Variant, request: &Request<'_>) -> Outcome {
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

fn plan_variant<'m>(
    source: &SourceFile,
    coding: Coding,
    bytes: Cow<'m, [u8]>,
    is_coded: bool,
    manner: &Manner<'_>,
    store: &mut StoreBuilder<'m>,
) -> Result<Variant, HeadTooLong> {
    //= RFC 9110 8.8.3.3: a strong tag is that of the bytes transferred; no two codings share one.
    let tag = format!("\"{:016x}{}\"", hash(&bytes), tag_ending(coding));
    let len = bytes.len();
    let vary = is_coded.then_some("Accept-Encoding");
    let modified = HttpDate::from_unix(source.modified_unix);
    let head = |status| {
        HeadTemplate::new(status)
            .field("ETag", &tag)
            .field("Last-Modified", modified.as_bytes().escape_ascii())
            .maybe("Cache-Control", manner.cache_control)
            .maybe("Vary", vary)
            .fields(&manner.fields)
    };
    let content = |status| {
        head(status)
            .field("Content-Type", media_type(&source.name))
            .field("X-Content-Type-Options", "nosniff")
            .field("Accept-Ranges", "bytes")
            .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
    };
    let first = store.add(content(Status::S200).field("Content-Length", len), Body::Own(bytes))?;
    let not_modified = store.add(head(Status::S304), Body::Empty)?;
    let partial = store.add(content(Status::S206).open_range(), Body::Of(first))?;
    let excuse = "416 Range Not Satisfiable\n";
    let unsatisfiable = HeadTemplate::new(Status::S416)
        .field("Content-Range", format_args!("bytes */{len}"))
        .maybe("Vary", vary)
        .fields(&manner.fields)
        .field("Content-Type", TEXT)
        .field("Content-Length", excuse.len());
    let unsatisfiable = store.add(unsatisfiable, Body::Own(excuse.as_bytes().into()))?;
    assert_eq!(not_modified, first.plus(NOT_MODIFIED));
    assert_eq!(partial, first.plus(PARTIAL));
    assert_eq!(unsatisfiable, first.plus(UNSATISFIABLE));
    Ok(Variant { first, tag: tag.into(), len: len as u64 })
}

/// The path of a file below `directory`, which ends in a slash; escapes decoded.
pub(crate) fn path(directory: &str, source: &SourceFile) -> Result<String, BuildError> {
    let name = source.name.as_str();
    let fault = |expected: &'static str, found: &str| {
        Err(BuildError::FileName { name: name.into(), expected, found: found.into() })
    };
    let path = format!("{directory}{name}");
    if path.len() > PATH_LEN_MAX {
        return fault("a path of at most 1024 bytes", &path.len().to_string());
    }
    if name.split('/').any(str::is_empty) {
        return fault("segments separated by one slash each", "an empty one");
    }
    if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        return fault("a path below the directory", "a dot segment");
    }
    if name.contains(|c: char| c.is_ascii_control() || c == '\\') {
        return fault("no control character and no backslash", "one");
    }
    Ok(path)
}

/// The path of the directory that this file stands for, if it is called `index`.
pub(crate) fn directory<'p>(path: &'p str, index: &str) -> Option<&'p str> {
    path.strip_suffix(index).filter(|directory| directory.ends_with('/'))
}

fn check_siblings(source: &SourceFile) -> Result<(), BuildError> {
    let check = |coding: &'static str, result: Option<Result<(), Mismatch>>| {
        let found = match result {
            None | Some(Ok(())) => return Ok(()),
            Some(Err(Mismatch::Broken)) => "no such stream".to_owned(),
            Some(Err(Mismatch::At(at))) => format!("a difference at byte {at}"),
        };
        let expected = "unpack to the same bytes";
        Err(BuildError::Sibling { name: source.name.clone(), coding, expected, found })
    };
    check(".br", source.brotli.as_ref().map(|coded| brotli_matches(coded, &source.bytes)))?;
    check(".gz", source.gzip.as_ref().map(|coded| gzip_matches(coded, &source.bytes)))
}

const NOT_MODIFIED: u32 = 1;
const PARTIAL: u32 = 2;
const UNSATISFIABLE: u32 = 3;

const _: () = assert!(PATH_LEN_MAX == 1024, "a message above says so");
