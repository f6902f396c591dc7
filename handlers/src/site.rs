//! The site: every answer the appliance can give, and which of them a request gets.
//!
//! Immutable. Built once from [`Material`], then shared by all cores; nothing here allocates, locks
//! or looks at a clock while serving. Read `README.md` for the routes and what was decided.

use http1::{HeadContext, Method, Request, Service, Status, Target, Verdict};

use crate::answers::{Allow, Answers, TEXT};
use crate::dataset;
use crate::error::BuildError;
use crate::files::{File, Served};
use crate::head::{HeadPlan, Writer};
use crate::items::Ask;
use crate::json::{Json, Told};
use crate::material::{Bytes, Material, SourceFile};
use crate::routes::{PATH_LEN_MAX, Route, Routes};
use crate::store::{Body, EntryId, Store, StorePlan};
use crate::sum::{Number, integer, query_sum, query_value};

/// Everything that can be asked for, ready to be sent.
#[derive(Debug)]
pub struct Site {
    store: Store,
    routes: Routes,
    answers: Answers,
    files: Box<[File]>,
    json: Json,
    /// Open head of an answer that is a number.
    number: EntryId,
}

/// What a request accumulates while its body arrives.
#[derive(Clone, Copy, Debug)]
pub struct Work(Gathering);

#[derive(Clone, Copy, Debug)]
enum Gathering {
    /// The sum of the query, and the body as a number.
    Sum { query: i128, body: Number },
    /// Octets of the body so far.
    Count(u64),
}

/// A chosen answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply(Choice);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// As it stands in the store.
    Stored(EntryId),
    /// A part of the stored body that goes with this head.
    Part { head: EntryId, first: u64, len: u64 },
    /// A number as text.
    Number(i128),
    /// Items with totals; `len` is the length of the body.
    Items { ask: Ask, len: u32 },
}

impl Site {
    /// Checks the material, computes what can be computed, asks `memory` once for room of the exact
    /// size in octets, and lays every answer into it.
    ///
    /// # Errors
    /// If the material is at fault, or the memory is smaller than asked for.
    pub fn build(
        material: &Material,
        memory: impl FnOnce(usize) -> Box<dyn Bytes>,
    ) -> Result<Self, BuildError> {
        let items = dataset::read(&material.dataset)?;
        let mut store = StorePlan::default();
        let pipeline = add_text(&mut store, "/pipeline", PIPELINE)?;
        let number = store.add("a number", text_head().open_length(), Body::Empty)?;
        let json = Json::plan(&items, &mut store)?;
        let mut paths = vec![
            ("/pipeline".to_owned(), Route::Fixed(pipeline)),
            ("/baseline11".to_owned(), Route::Sum { body: true }),
            ("/baseline2".to_owned(), Route::Sum { body: false }),
            ("/upload".to_owned(), Route::Upload),
            ("/json".to_owned(), Route::AllItems),
        ];
        let counts = 1..=json.count_max();
        paths.extend(counts.map(|count| (format!("/json/{count}"), Route::Items { count })));
        let mut files = Vec::new();
        let mut index = None;
        for (at, source) in material.files.iter().enumerate() {
            paths.push((file_path(source)?, Route::File(at)));
            files.push(File::plan(source, &mut store)?);
            if source.name == INDEX_NAME {
                index = Some(Route::File(at));
            }
        }
        let index = match index {
            Some(route) => route,
            None => Route::Fixed(add_text(&mut store, "/", INDEX_TEXT)?),
        };
        paths.push(("/".to_owned(), index));
        let routes = Routes::new(paths).map_err(|path| doubled(&path))?;
        let answers = Answers::plan(&mut store)?;
        let store = store.lay(memory)?;
        Ok(Self { store, routes, answers, files: files.into(), json, number })
    }

    /// The answer to GET or HEAD.
    fn read(&self, route: Route, query: &[u8], request: &Request<'_>) -> Choice {
        match route {
            Route::Fixed(id) => Choice::Stored(id),
            Route::Sum { .. } => Choice::Number(query_sum(query)),
            Route::AllItems => Choice::Stored(self.json.all(request)),
            Route::Items { count } => match query_value(query, b"m").map_or(Some(1), integer) {
                Some(k) => match self.json.some(Ask { count, k }, request) {
                    Told::Stored(id) => Choice::Stored(id),
                    Told::Rendered { ask, len } => Choice::Items { ask, len },
                },
                None => self.error(Status::S400),
            },
            Route::File(at) => match self.files[at].serve(request) {
                Served::Stored(id) => Choice::Stored(id),
                Served::Part { head, first, len } => Choice::Part { head, first, len },
                Served::Failed => self.error(Status::S412),
            },
            Route::Upload => self.other_method(route, Method::Get),
        }
    }

    fn other_method(&self, route: Route, method: Method) -> Choice {
        let allow = match route {
            Route::Upload => Allow::Post,
            Route::Sum { body: true } => Allow::ReadOrPost,
            Route::Fixed(_)
            | Route::Sum { body: false }
            | Route::AllItems
            | Route::Items { .. }
            | Route::File(_) => Allow::Read,
        };
        Choice::Stored(self.answers.other_method(method, allow))
    }

    fn error(&self, status: Status) -> Choice {
        Choice::Stored(self.answers.error(status))
    }

    /// The entry whose head template goes with a choice.
    fn head_entry(&self, choice: Choice) -> EntryId {
        match choice {
            Choice::Stored(id) | Choice::Part { head: id, .. } => id,
            Choice::Number(_) => self.number,
            Choice::Items { .. } => self.json.rendered(),
        }
    }
}

impl Service for Site {
    type Work = Work;
    type Reply = Reply;

    fn accept(&self, request: &Request<'_>) -> Verdict<Work, Reply> {
        let (path, query) = match request.target() {
            Target::Path { path, query } => (path, query.unwrap_or_default()),
            Target::Asterisk => {
                let server = self.answers.other_method(Method::Options, Allow::ReadOrPost);
                return Verdict::Reply(Reply(Choice::Stored(server)));
            }
        };
        let route = match self.routes.find(path) {
            Ok(route) => route,
            Err(status) => return Verdict::Reply(Reply(self.error(status))),
        };
        let choice = match (route, request.method()) {
            (_, Method::Get | Method::Head) => self.read(route, query, request),
            (Route::Sum { body: true }, Method::Post) => {
                let (query, body) = (query_sum(query), Number::default());
                return Verdict::Read(Work(Gathering::Sum { query, body }));
            }
            (Route::Upload, Method::Post) => return Verdict::Read(Work(Gathering::Count(0))),
            (_, method) => self.other_method(route, method),
        };
        Verdict::Reply(Reply(choice))
    }

    fn on_body(&self, work: &mut Work, piece: &[u8]) {
        match &mut work.0 {
            Gathering::Sum { body, .. } => body.on_bytes(piece),
            Gathering::Count(octets) => *octets += piece.len() as u64,
        }
    }

    fn finish(&self, work: Work) -> Reply {
        Reply(Choice::Number(match work.0 {
            Gathering::Sum { query, body } => query + i128::from(body.value().unwrap_or(0)),
            Gathering::Count(octets) => i128::from(octets),
        }))
    }

    fn refuse(&self, status: Status) -> Reply {
        Reply(self.error(status))
    }

    fn status(&self, reply: &Reply) -> Status {
        self.store.status(self.head_entry(reply.0))
    }

    fn body_len(&self, reply: &Reply) -> u64 {
        match reply.0 {
            Choice::Stored(id) => self.store.body_len(id),
            Choice::Part { len, .. } => len,
            Choice::Number(value) => itoa::Buffer::new().format(value).len() as u64,
            Choice::Items { len, .. } => u64::from(len),
        }
    }

    fn head_into(&self, reply: &Reply, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        let id = self.head_entry(reply.0);
        let (template, date_at) = self.store.head(id);
        let mut writer = Writer::copy(template, date_at, context, out);
        match reply.0 {
            Choice::Stored(_) => {}
            Choice::Part { first, len, .. } => {
                writer.range_lines(first, len, self.store.body_len(id));
            }
            Choice::Number(_) | Choice::Items { .. } => {
                writer.number_line(self.body_len(reply));
            }
        }
        writer.finish(context.connection)
    }

    fn body_into(&self, reply: &Reply, at: u64, out: &mut [u8]) -> usize {
        let at = usize::try_from(at).expect("an offset within memory");
        match reply.0 {
            Choice::Stored(id) => copy(&self.store.body(id)[at..], out),
            Choice::Part { head, first, len } => {
                let first = usize::try_from(first).expect("an offset within memory");
                let len = usize::try_from(len).expect("a length within memory");
                copy(&self.store.body(head)[first..first + len][at..], out)
            }
            Choice::Number(value) => copy(&itoa::Buffer::new().format(value).as_bytes()[at..], out),
            Choice::Items { ask, len } => self.json.render(&self.store, ask, len, at, out),
        }
    }
}

/// Copies what fits; returns how much.
fn copy(from: &[u8], out: &mut [u8]) -> usize {
    let len = from.len().min(out.len());
    out[..len].copy_from_slice(&from[..len]);
    len
}

fn text_head() -> HeadPlan {
    HeadPlan::new(Status::S200).field("Content-Type", TEXT)
}

fn add_text(
    store: &mut StorePlan<'_>,
    what: &str,
    text: &'static str,
) -> Result<EntryId, BuildError> {
    let head = text_head().field("Content-Length", text.len());
    store.add(what, head, Body::Own(text.as_bytes().into()))
}

/// The path of a static file, unescaped.
fn file_path(source: &SourceFile) -> Result<String, BuildError> {
    let name = source.name.as_str();
    let fault = |expected, found: &str| {
        Err(BuildError::FileName { name: name.into(), expected, found: found.into() })
    };
    let path = format!("{STATIC}{name}");
    if path.len() > PATH_LEN_MAX {
        return fault("at most 1016 octets", &name.len().to_string());
    }
    if name.split('/').any(str::is_empty) {
        return fault("segments separated by one slash each", "an empty one");
    }
    if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        return fault("a path below the static directory", "a dot segment");
    }
    if name.contains(|c: char| c.is_ascii_control() || c == '\\') {
        return fault("no control character and no backslash", "one");
    }
    Ok(path)
}

fn doubled(path: &str) -> BuildError {
    let name = path.strip_prefix(STATIC).unwrap_or(path).into();
    BuildError::FileName { name, expected: "each name once", found: "it twice".into() }
}

const STATIC: &str = "/static/";
const _: () = assert!(PATH_LEN_MAX - STATIC.len() == 1016, "a message above says so");

const PIPELINE: &str = "ok";

/// The static file that is served as `/` too.
const INDEX_NAME: &str = "index.html";

/// What `/` says when there is no such file.
const INDEX_TEXT: &str = "\
Pollux is running.

/pipeline             the shortest answer
/baseline11?a=13&b=42 a sum; POST adds the body
/json                 all items with their totals
/json/5?m=3           five items, totals times three
/static/NAME          a file of the static directory
/upload               POST: counts the octets of the body
";
