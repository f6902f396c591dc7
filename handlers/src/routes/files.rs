//! Static files: one variant per content coding, each with its own entity-tag, and the decision
//! which response a request gets.
//!
//! A range is a range of the variant that was chosen: the representation that is transferred is the
//! coded one (RFC 9110 8.4, 14.2), and its tag tells a client that resumes which one it was.

mod moved;

use std::borrow::Cow;
use std::collections::HashMap;

use compress::{Mismatch, brotli_matches_unless, gzip_matches_unless};
use http1::coding::Coding;
use http1::range::{Range, if_range_holds};
use http1::{HeadAction, HttpDate, Method, Request, Status, etag, parse_http_date};

use crate::build_progress::BuildProgress;
use crate::coding::{Effort, is_worth_coding, offers, tag_ending};
use crate::config::FilesConfig;
use crate::error::{RouteErrorKind, SettingError};
use crate::fields::{FIELD_VALUE_FIX, Fields, is_field_value};
use crate::hash::hash;
use crate::head::{HeadTemplate, HeadTooLong};
use crate::media::{is_compressible, media_type};
use crate::methods::Methods;
use crate::parallel;
use crate::response::{Content, Response, TEXT};
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest};
use crate::router::PATH_LEN_MAX;
use crate::source::SourceFile;
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::work::Work;
use moved::Moved;

/// A route of files.
#[derive(Debug)]
pub(crate) struct Files {
    files: Box<[File]>,
    /// Directories with an index, asked for without their slash: items after the files.
    moved: Box<[Moved]>,
}

impl RouteHandler for Files {
    type Config = FilesConfig;

    fn info(config: &FilesConfig) -> KindInfo<'_> {
        let always = ["accept-ranges", "etag", "last-modified", "x-content-type-options"];
        let own_fields =
            config.cache_control.iter().map(|_| "cache-control").chain(always).collect();
        let info = KindInfo::new("a route of files", Methods::GET, RouteKind::Files);
        KindInfo { own_fields, has_own_path: false, ..info }
    }

    fn compile<'c>(
        config: &'c FilesConfig,
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        let options = Options::check(config, route)?;
        let mut moved = Vec::new();
        for (at, source) in config.files.iter().enumerate() {
            route.progress.check()?;
            let path = path(&route.config.path, source)?;
            route.add_path(&path, at)?;
            let index = config.index.as_deref();
            if let Some(directory) = index.and_then(|index| directory(&path, index)) {
                route.add_path(directory, at)?;
                let fitting = Moved::compile(directory, options.fields, store);
                if let (Some(path), Some(redirection)) = (without_slash(directory), fitting) {
                    route.add_path_if_free(path, config.files.len() + moved.len());
                    moved.push(redirection);
                }
            }
        }
        let mut stored = StoredBodies::new();
        let files = prepare(&config.files, &options, route.progress).into_iter().zip(&config.files);
        let files = files.map(|(bodies, source)| {
            route.progress.check()?;
            File::compile(source, bodies?, &options, &mut stored, store)
        });
        Ok(Self { files: files.collect::<Result<_, _>>()?, moved: moved.into() })
    }

    #[inline]
    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let item = request.item as usize;
        match self.files.get(item) {
            Some(file) => file.serve(request),
            None => match item.checked_sub(self.files.len()).and_then(|at| self.moved.get(at)) {
                Some(moved) => moved.serve(request),
                None => request.refuse(Status::S404),
            },
        }
    }
}

/// A body of a file in one coding.
struct Coded<'m> {
    coding: Coding,
    bytes: Cow<'m, [u8]>,
    /// Of these bytes: tells versions apart.
    hash: u64,
}

impl<'m> Coded<'m> {
    fn new(coding: Coding, bytes: impl Into<Cow<'m, [u8]>>) -> Self {
        let bytes = bytes.into();
        Self { coding, hash: hash(&bytes), bytes }
    }
}

/// The bodies of a file, identity last.
type Bodies<'m> = Vec<Coded<'m>>;

/// The bodies of each file, made by all cores that this thread may use; or what is wrong with its siblings.
fn prepare<'m>(
    files: &'m [SourceFile],
    options: &Options<'_>,
    progress: &BuildProgress,
) -> Vec<Result<Bodies<'m>, RouteErrorKind>> {
    let is_made = |file: &&SourceFile| is_compressible(media_type(&file.name));
    let together = files.iter().filter(is_made).map(|file| file.bytes.len()).sum();
    let (effort, made) = (Effort::for_bytes(together), &options.made);
    let prepare = |source: &'m SourceFile| prepare_one(source, made, effort, progress);
    match together > ALONE_BYTES_MAX || files.len() > ALONE_FILES_MAX {
        true => parallel::map(files, prepare),
        false => files.iter().map(prepare).collect(),
    }
}

fn prepare_one<'m>(
    source: &'m SourceFile,
    made: &[Coding],
    effort: Effort,
    progress: &BuildProgress,
) -> Result<Bodies<'m>, RouteErrorKind> {
    progress.check()?;
    check_siblings(source, progress)?;
    let mut coded: Bodies<'m> = Vec::new();
    let is_made = !made.is_empty()
        && is_compressible(media_type(&source.name))
        && is_worth_coding(&source.bytes);
    for (coding, sibling) in [(Coding::Br, &source.brotli), (Coding::Gzip, &source.gzip)] {
        if let Some(bytes) = sibling {
            coded.push(Coded::new(coding, bytes));
        } else if is_made && made.contains(&coding) {
            let bytes = effort.code(coding, &source.bytes, progress)?;
            coded.extend(bytes.map(|bytes| Coded::new(coding, bytes)));
        }
    }
    coded.push(Coded::new(Coding::Identity, &source.bytes));
    progress.has_made(source.bytes.len());
    Ok(coded)
}

/// Bodies of a route that lie in the store, by their hash: a `.gz` beside its file is there once, though it is the
/// coded form of that file and a file itself.
type StoredBodies<'m> = HashMap<u64, (EntryId, &'m [u8])>;

/// What holds for all files of a route.
#[derive(Debug)]
struct Options<'a> {
    /// Codings that are made where there is no sibling.
    made: Box<[Coding]>,
    cache_control: Option<&'a str>,
    fields: &'a Fields,
}

impl<'a> Options<'a> {
    fn check(config: &'a FilesConfig, route: &RouteContext<'_, 'a>) -> Result<Self, SettingError> {
        if !route.config.below {
            let fix = "let the path end in a slash: /static/";
            let problem = "files are what is below a path";
            return Err(SettingError::new("path", &route.config.path, problem, fix));
        }
        let index = config.index.as_deref();
        if let Some(name) = index.filter(|name| name.is_empty() || name.contains('/')) {
            let problem = "this is no name of a file";
            return Err(SettingError::new("index", name, problem, "write one, such as index.html"));
        }
        let cache_control = config.cache_control.as_deref();
        if let Some(value) = cache_control.filter(|value| !is_field_value(value)) {
            let problem = "the value is no field value";
            return Err(SettingError::new("cache_control", value, problem, FIELD_VALUE_FIX));
        }
        let codings = route.precomputed("a file is the same for every request")?;
        let made = if codings.is_empty() { Box::default() } else { offers(codings)? };
        Ok(Self { made, cache_control, fields: route.fields })
    }
}

/// A static file in all its variants.
#[derive(Debug)]
struct File {
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

impl File {
    /// Adds the responses of a file with these bodies.
    fn compile<'m>(
        source: &'m SourceFile,
        mut coded: Bodies<'m>,
        options: &Options<'_>,
        stored: &mut StoredBodies<'m>,
        store: &mut StoreBuilder<'m>,
    ) -> Result<Self, RouteErrorKind> {
        let is_coded = coded.len() > 1;
        let rank = |coding| options.made.iter().position(|&made| made == coding);
        coded.sort_by_key(|coded| rank(coded.coding).unwrap_or(options.made.len()));
        let mut variants = Vec::new();
        let mut offers = Vec::new();
        for coded in coded {
            offers.push(coded.coding);
            variants.push(add_variant(source, coded, is_coded, options, stored, store)?);
        }
        Ok(Self {
            variants: variants.into(),
            offers: offers.into(),
            modified: source.modified_unix,
        })
    }

    /// The response to a GET or HEAD request for this file.
    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let coding = request.coding(&self.offers);
        let at = self.offers.iter().position(|&offer| offer == coding);
        let variant = &self.variants[at.expect("identity is offered")];
        let stored = |id| HeadAction::Respond(Response::stored(id));
        match self.check_preconditions(variant, request.request) {
            Preconditions::Failed => return request.refuse(Status::S412),
            Preconditions::NotModified => return stored(variant.first.plus(NOT_MODIFIED)),
            Preconditions::Hold => {}
        }
        match self.range(variant, request.request) {
            Range::Whole => stored(variant.first),
            Range::Part { first, last } => {
                let (head, len) = (variant.first.plus(PARTIAL), last - first + 1);
                HeadAction::Respond(Response(Content::Part { head, first, len }))
            }
            Range::Unsatisfiable => stored(variant.first.plus(UNSATISFIABLE)),
        }
    }

    /// In the order of RFC 9110 13.2.2.
    fn check_preconditions(&self, variant: &Variant, request: &Request<'_>) -> Preconditions {
        let tag = variant.tag.as_bytes();
        let date = |name: &str| request.field(name).and_then(parse_http_date);
        if request.field("if-match").is_some() {
            if !etag::any_strong(request.fields("if-match"), tag) {
                return Preconditions::Failed;
            }
        } else if date("if-unmodified-since").is_some_and(|since| self.modified > since) {
            return Preconditions::Failed;
        }
        if request.field("if-none-match").is_some() {
            if etag::any_weak(request.fields("if-none-match"), tag) {
                return Preconditions::NotModified;
            }
        } else if date("if-modified-since").is_some_and(|since| self.modified <= since) {
            return Preconditions::NotModified;
        }
        Preconditions::Hold
    }

    fn range(&self, variant: &Variant, request: &Request<'_>) -> Range {
        //= RFC 9110 14.2: a server MUST ignore Range in a request with a method other than GET.
        let range = request.field("range").filter(|_| request.method() == Method::Get);
        let tag = variant.tag.as_bytes();
        let holds = |value: &[u8]| if_range_holds(value, tag, Some(self.modified));
        let range = range.filter(|_| request.field("if-range").is_none_or(holds));
        range.map_or(Range::Whole, |value| Range::parse(value, variant.len))
    }
}

enum Preconditions {
    Hold,
    NotModified,
    Failed,
}

fn add_variant<'m>(
    source: &SourceFile,
    Coded { coding, bytes, hash }: Coded<'m>,
    is_coded: bool,
    options: &Options<'_>,
    stored: &mut StoredBodies<'m>,
    store: &mut StoreBuilder<'m>,
) -> Result<Variant, HeadTooLong> {
    //= RFC 9110 8.8.3.3: a strong tag is that of the bytes transferred; no two codings share one.
    let tag = format!("\"{hash:016x}{}\"", tag_ending(coding));
    let len = bytes.len();
    let vary = is_coded.then_some("Accept-Encoding");
    let modified = HttpDate::from_unix(source.modified_unix);
    let head = |status| {
        HeadTemplate::new(status)
            .field("ETag", &tag)
            .field("Last-Modified", modified.as_bytes().escape_ascii())
            .maybe("Cache-Control", options.cache_control)
            .maybe("Vary", vary)
            .fields(options.fields)
    };
    let content = |status| {
        head(status)
            .field("Content-Type", media_type(&source.name))
            .field("X-Content-Type-Options", "nosniff")
            .field("Accept-Ranges", "bytes")
            .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()))
    };
    let of_source = match bytes {
        Cow::Borrowed(bytes) => Some(bytes),
        Cow::Owned(_) => None,
    };
    let body = match stored.get(&hash) {
        Some((same, known)) if of_source == Some(*known) => Body::Of(*same),
        _ => Body::Own(bytes),
    };
    let first = store.add(content(Status::S200).field("Content-Length", len), body)?;
    if let Some(bytes) = of_source {
        stored.entry(hash).or_insert((first, bytes));
    }
    let not_modified = store.add(head(Status::S304), Body::Empty)?;
    let partial = store.add(content(Status::S206).open_range(), Body::Of(first))?;
    let excuse = "416 Range Not Satisfiable\n";
    let unsatisfiable = HeadTemplate::new(Status::S416)
        .field("Content-Range", format_args!("bytes */{len}"))
        .maybe("Vary", vary)
        .fields(options.fields)
        .field("Content-Type", TEXT)
        .field("Content-Length", excuse.len());
    let unsatisfiable = store.add(unsatisfiable, Body::Own(excuse.as_bytes().into()))?;
    assert_eq!(not_modified, first.plus(NOT_MODIFIED));
    assert_eq!(partial, first.plus(PARTIAL));
    assert_eq!(unsatisfiable, first.plus(UNSATISFIABLE));
    Ok(Variant { first, tag: tag.into(), len: len as u64 })
}

/// The path of a file below `directory`, which ends in a slash; escapes decoded.
fn path(directory: &str, source: &SourceFile) -> Result<String, RouteErrorKind> {
    let name = source.name.as_str();
    let error = |expected: &str, found: &str| {
        let problem = format!("expected {expected}, found {found}");
        Err(RouteErrorKind::File { name: name.into(), problem })
    };
    let path = format!("{directory}{name}");
    if path.len() > PATH_LEN_MAX {
        return error("a path of at most 1024 bytes", &path.len().to_string());
    }
    if name.split('/').any(str::is_empty) {
        return error("segments separated by one slash each", "an empty one");
    }
    if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        return error("a path below the directory", "a dot segment");
    }
    if name.contains(|c: char| c.is_ascii_control() || c == '\\') {
        return error("no control character and no backslash", "one");
    }
    Ok(path)
}

/// The path of the directory that this file stands for, if it is called `index`.
fn directory<'p>(path: &'p str, index: &str) -> Option<&'p str> {
    path.strip_suffix(index).filter(|directory| directory.ends_with('/'))
}

/// The path of a directory without the slash at its end; of the root there is none.
fn without_slash(directory: &str) -> Option<&str> {
    directory.strip_suffix('/').filter(|path| !path.is_empty())
}

fn check_siblings(source: &SourceFile, progress: &BuildProgress) -> Result<(), RouteErrorKind> {
    let stop = || progress.is_cancelled();
    let check = |coding: &str, result: Option<Result<(), Mismatch>>| {
        let found = match result {
            None | Some(Ok(())) => return Ok(()),
            Some(Err(Mismatch::Stopped)) => return Err(RouteErrorKind::Cancelled),
            Some(Err(Mismatch::Broken)) => "no such stream".to_owned(),
            Some(Err(Mismatch::At(at))) => format!("a difference at byte {at}"),
        };
        let expected = format!("its {coding} sibling to unpack to the same bytes");
        let problem = format!("expected {expected}, found {found}");
        Err(RouteErrorKind::File { name: source.name.clone(), problem })
    };
    check(
        ".br",
        source.brotli.as_ref().map(|coded| brotli_matches_unless(coded, &source.bytes, &stop)),
    )?;
    check(".gz", source.gzip.as_ref().map(|coded| gzip_matches_unless(coded, &source.bytes, &stop)))
}

/// More than these are work for all cores.
const ALONE_BYTES_MAX: usize = 1024 * 1024;
const ALONE_FILES_MAX: usize = 1_000;

const NOT_MODIFIED: u32 = 1;
const PARTIAL: u32 = 2;
const UNSATISFIABLE: u32 = 3;

const _: () = assert!(PATH_LEN_MAX == 1024, "a message above says so");
