//! From a site configuration to the tables of a site: every route is checked, its responses are planned, and its
//! paths are filed under the methods it has.

use std::collections::HashMap;

use http1::{Method, Status};

use crate::config::{
    Compress, Database, Kind, Parameter, RouteConfig, SiteConfig, Source, ValueKind,
};
use crate::error::{BuildError, PlanError};
use crate::fault::Fault;
use crate::fields::Fields;
use crate::head::{HeadTemplate, HeadTooLong};
use crate::methods::Methods;
use crate::response::{AllowResponses, ErrorResponses, TEXT};
use crate::router::{Pattern, PatternError, Router};
use crate::routes::dataset;
use crate::routes::files::{self, File, Manner};
use crate::routes::fixed;
use crate::routes::query::Query;
use crate::site::{Answer, Handler, Resource, Route};
use crate::source::SourceFile;
use crate::store::{Body, EntryId, StoreBuilder};
use crate::traffic::RouteKind;
use crate::values::words::nearest;

/// The tables of a site, and its responses that are yet to be laid down.
pub(crate) struct Tables<'b> {
    pub(crate) store: StoreBuilder<'b>,
    pub(crate) router: Router,
    pub(crate) resources: Vec<Resource>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) routes: Vec<Route>,
    /// What is refused before there is a route.
    pub(crate) errors: ErrorResponses,
    /// What the whole server allows.
    pub(crate) server: AllowResponses,
}

impl<'b> Tables<'b> {
    /// Plans all routes. All are checked before the first of them is given the time it takes to
    /// compress.
    pub(crate) fn plan(config: &'b SiteConfig) -> Result<Self, BuildError> {
        let routes = &config.routes;
        let all = routes.iter().fold(Methods::NONE, |all, route| all.union(route.methods));
        let mut planner = Planner::new(all);
        let errors = planner.errors(&Fields::default()).expect("heads without extra fields");
        let mut drafts = Vec::new();
        let mut table = Vec::new();
        for (at, plan) in routes.iter().enumerate() {
            check_name(&routes[..at], plan).map_err(|fault| fault.at(at))?;
            let invalidates = invalidated(routes, plan).map_err(|fault| fault.at(at))?;
            let (draft, route) = planner.check(at, plan).map_err(|error| error.at(at))?;
            drafts.push(draft);
            table.push(Route { invalidates, ..route });
        }
        let mut handlers = Vec::new();
        for (at, draft) in drafts.into_iter().enumerate() {
            let answers = draft.plan(&mut planner.store).map_err(|error| error.at(at))?;
            let route = u32::try_from(at).expect("fewer than 2^32 routes");
            let kind = table[at].kind;
            handlers.extend(answers.into_iter().map(|answer| Handler { route, kind, answer }));
        }
        assert_eq!(handlers.len(), planner.owners.len(), "each has its answer");
        let server = planner.allowed(all);
        let (router, resources) = planner.file_all(routes, &handlers);
        let store = planner.store;
        Ok(Self { store, router, resources, handlers, routes: table, errors, server })
    }
}

/// What a route is planned with.
pub(crate) struct RouteContext<'a> {
    pub(crate) plan: &'a RouteConfig,
    pub(crate) pattern: &'a Pattern,
    /// Extra fields of all responses.
    pub(crate) fields: &'a Fields,
}

/// A route that was checked, before its responses are made.
struct Draft<'b> {
    fields: Fields,
    kind: DraftKind<'b>,
}

enum DraftKind<'b> {
    Fixed(fixed::Draft<'b>),
    Redirect(Status, &'b str),
    Sum,
    Count,
    Dataset(Box<dataset::Draft>),
    Query(Box<Query>),
    Files(Manner<'b>, &'b [SourceFile]),
}

impl<'b> Draft<'b> {
    /// Makes the responses: those of the route, then one for each of its files.
    fn plan(self, store: &mut StoreBuilder<'b>) -> Result<Vec<Answer>, PlanError> {
        let Self { fields, kind } = self;
        Ok(vec![match kind {
            DraftKind::Fixed(fixed) => Answer::Fixed(fixed.plan(&fields, store)?),
            DraftKind::Redirect(status, location) => {
                Answer::Redirect(fixed::plan_redirect(&fields, status, location, store)?)
            }
            DraftKind::Sum => Answer::Sum { head: number_head(&fields, store)? },
            DraftKind::Count => Answer::Count { head: number_head(&fields, store)? },
            DraftKind::Dataset(dataset) => Answer::Dataset(Box::new(dataset.plan(store)?)),
            DraftKind::Query(query) => Answer::Query(query),
            DraftKind::Files(manner, files) => {
                let mut answers = vec![Answer::NoFile];
                for source in files {
                    answers.push(Answer::File(File::plan(source, &manner, store)?));
                }
                return Ok(answers);
            }
        }])
    }
}

fn number_head(fields: &Fields, store: &mut StoreBuilder<'_>) -> Result<EntryId, HeadTooLong> {
    let head = HeadTemplate::new(Status::S200).field("Content-Type", TEXT).fields(fields);
    store.add(head.open_length(), Body::Empty)
}

struct Planner<'b> {
    store: StoreBuilder<'b>,
    /// The route of each handler.
    owners: Vec<usize>,
    places: Vec<Place>,
    by_shape: HashMap<Pattern, usize>,
    errors: HashMap<Fields, ErrorResponses>,
    allowed: HashMap<Methods, AllowResponses>,
    /// Methods of the whole site.
    all: Methods,
}

/// A path and what answers it, by method.
struct Place {
    pattern: Pattern,
    /// Indices of handlers.
    handlers: Vec<(Method, u32)>,
}

impl<'b> Planner<'b> {
    fn new(all: Methods) -> Self {
        Self {
            store: StoreBuilder::default(),
            owners: Vec::new(),
            places: Vec::new(),
            by_shape: HashMap::new(),
            errors: HashMap::new(),
            allowed: HashMap::new(),
            all,
        }
    }

    /// Checks a route, and files its handlers under their paths.
    fn check(&mut self, at: usize, plan: &'b RouteConfig) -> Result<(Draft<'b>, Route), PlanError> {
        let pattern =
            Pattern::parse(&plan.path, plan.below).map_err(|PatternError { problem, fix }| {
                Fault::new("path", &plan.path, problem, fix)
            })?;
        check_methods(plan)?;
        check_captures(plan, &pattern)?;
        let fields = Fields::check(plan)?;
        let errors = self.errors(&fields)?;
        let handler = self.add_handler(at);
        self.place(&pattern, plan, handler)?;
        let kind = match &plan.kind {
            Kind::Fixed { status, media_type, body, etag } => {
                let etag = etag.as_deref();
                DraftKind::Fixed(fixed::Draft::check(plan, *status, media_type, body, etag)?)
            }
            Kind::Redirect { status, location } => {
                check_uncoded(plan)?;
                fixed::check_redirect(*status, location)?;
                DraftKind::Redirect(*status, location)
            }
            Kind::Sum => {
                check_uncoded(plan)?;
                DraftKind::Sum
            }
            Kind::Count => {
                check_uncoded(plan)?;
                DraftKind::Count
            }
            Kind::Dataset(dataset) => {
                let cx = RouteContext { plan, pattern: &pattern, fields: &fields };
                DraftKind::Dataset(Box::new(dataset::Draft::check(&cx, dataset)?))
            }
            Kind::Query(query) => DraftKind::Query(Box::new(Query::compile(at, plan, query)?)),
            Kind::Files { files, index, cache_control } => {
                let index = index.as_deref();
                let manner = Manner::new(plan, index, cache_control.as_deref(), &fields)?;
                self.place_files(at, plan, files, index)?;
                DraftKind::Files(manner, files)
            }
        };
        let captures = pattern.captures().map(Into::into).collect();
        let is_of_body = |parameter: &Parameter| parameter.from == Source::Body;
        let takes_body = parameters(plan).unwrap_or_default().iter().any(is_of_body);
        let route = Route {
            path: if plan.below { format!("{}*", plan.path) } else { plan.path.clone() }.into(),
            methods: names(plan.methods).into(),
            kind: route_kind(&plan.kind),
            captures,
            errors,
            handler,
            takes_body,
            invalidates: Box::default(),
        };
        Ok((Draft { fields, kind }, route))
    }

    fn place_files(
        &mut self,
        at: usize,
        plan: &RouteConfig,
        files: &[SourceFile],
        index: Option<&str>,
    ) -> Result<(), PlanError> {
        for source in files {
            let path = files::path(&plan.path, source)?;
            let handler = self.add_handler(at);
            self.place(&Pattern::exactly(&path), plan, handler)?;
            if let Some(directory) = index.and_then(|index| files::directory(&path, index)) {
                self.place(&Pattern::exactly(directory), plan, handler)?;
            }
        }
        Ok(())
    }

    /// A handler of this route; they are made in the order in which they are added.
    fn add_handler(&mut self, route: usize) -> u32 {
        self.owners.push(route);
        u32::try_from(self.owners.len() - 1).expect("fewer than 2^32 handlers")
    }

    /// Files a handler under a path.
    fn place(&mut self, pattern: &Pattern, plan: &RouteConfig, handler: u32) -> Result<(), Fault> {
        let at = *self.by_shape.entry(pattern.shape()).or_insert_with(|| {
            self.places.push(Place { pattern: pattern.clone(), handlers: Vec::new() });
            self.places.len() - 1
        });
        let place = &mut self.places[at];
        let fault = |problem: String, fix: &str| Fault::new("path", &plan.path, problem, fix);
        if place.pattern != *pattern {
            let problem = format!("{} differs by the names of its parameters only", place.pattern);
            return Err(fault(problem, "give them the same names"));
        }
        for method in plan.methods.iter() {
            if let Some((_, other)) = place.handlers.iter().find(|(known, _)| *known == method) {
                let other = self.owners[*other as usize];
                let problem = match self.owners[handler as usize] == other {
                    true => format!("{pattern} is there twice"),
                    false => format!(
                        "{} {pattern} is answered by another route already (number {})",
                        method.name(),
                        other + 1
                    ),
                };
                return Err(fault(problem, "leave one of them out, or let their methods differ"));
            }
            place.handlers.push((method, handler));
        }
        Ok(())
    }

    fn errors(&mut self, fields: &Fields) -> Result<ErrorResponses, PlanError> {
        if let Some(&known) = self.errors.get(fields) {
            return Ok(known);
        }
        let errors = ErrorResponses::plan(&mut self.store, fields, self.all)?;
        self.errors.insert(fields.clone(), errors);
        Ok(errors)
    }

    fn allowed(&mut self, methods: Methods) -> AllowResponses {
        let plan = || AllowResponses::plan(&mut self.store, methods).expect("a short head");
        *self.allowed.entry(methods).or_insert_with(plan)
    }

    /// Makes the router, and what each path has, method by method.
    fn file_all(
        &mut self,
        routes: &[RouteConfig],
        handlers: &[Handler],
    ) -> (Router, Vec<Resource>) {
        let mut exact = Vec::new();
        let mut patterns = Vec::new();
        let mut resources = Vec::new();
        for (at, place) in std::mem::take(&mut self.places).into_iter().enumerate() {
            let at = u32::try_from(at).expect("fewer than 2^32 paths");
            let is_real = |(_, handler): &&(Method, u32)| {
                !matches!(handlers[*handler as usize].answer, Answer::NoFile)
            };
            let methods: Methods =
                place.handlers.iter().filter(is_real).map(|(method, _)| *method).collect();
            let allowed = (!methods.is_empty()).then(|| self.allowed(methods));
            resources.push(Resource::new(&place.handlers, allowed));
            match place.pattern.exact() {
                Some(path) => exact.push((path, at)),
                None => patterns.push((place.pattern, at)),
            }
        }
        let listed = routes.iter().flat_map(listed);
        (Router::new(exact, &patterns, listed), resources)
    }
}

fn route_kind(kind: &Kind) -> RouteKind {
    match kind {
        Kind::Fixed { .. } => RouteKind::Fixed,
        Kind::Files { .. } => RouteKind::Files,
        Kind::Dataset(_) => RouteKind::Dataset,
        Kind::Sum => RouteKind::Sum,
        Kind::Count => RouteKind::Count,
        Kind::Redirect { .. } => RouteKind::Redirect,
        Kind::Query(query) => match query.database {
            Database::Postgres => RouteKind::Postgres,
            Database::Sqlite(_) => RouteKind::Sqlite,
        },
    }
}

/// The parameters of a route, if its kind has any.
fn parameters(plan: &RouteConfig) -> Option<&[Parameter]> {
    match &plan.kind {
        Kind::Dataset(dataset) => Some(&dataset.parameters),
        Kind::Query(query) => Some(&query.parameters),
        _ => None,
    }
}

/// The paths of a pattern with one parameter, an integer of few values: `/json/1` to `/json/50`.
fn listed(plan: &RouteConfig) -> Vec<String> {
    let parameters = parameters(plan).unwrap_or_default();
    let mut of_path = parameters.iter().filter(|parameter| parameter.from == Source::Path);
    let (Some(parameter), None, false) = (of_path.next(), of_path.next(), plan.below) else {
        return Vec::new();
    };
    let bounds = parameter.bounds.filter(|_| parameter.kind == ValueKind::Integer);
    let Some((least, greatest)) = bounds.filter(|(least, greatest)| greatest - least < LISTED_MAX)
    else {
        return Vec::new();
    };
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 64 bits")]
    let values = least as i64..=greatest as i64;
    let name = format!("{{{}}}", parameter.name);
    values.map(|value| plan.path.replace(&name, &value.to_string())).collect()
}

fn check_name(earlier: &[RouteConfig], plan: &RouteConfig) -> Result<(), Fault> {
    match &plan.name {
        Some(name) if earlier.iter().any(|other| other.name.as_ref() == Some(name)) => {
            let problem = "another route is called so";
            Err(Fault::new("name", name, problem, "give each its own name"))
        }
        _ => Ok(()),
    }
}

/// Where a kind has parameters, every `{name}` of the path is one.
fn check_captures(plan: &RouteConfig, pattern: &Pattern) -> Result<(), Fault> {
    let Some(parameters) = parameters(plan) else { return Ok(()) };
    let is_known = |name| parameters.iter().any(|p| p.name == name && p.from == Source::Path);
    match pattern.captures().find(|&name| !is_known(name)) {
        Some(name) => {
            let problem = format!("{{{name}}} is no parameter");
            let fix = format!("add parameters.{name} = {{ from = \"path\", type = .. }}");
            Err(Fault::new("path", &plan.path, problem, fix))
        }
        None => Ok(()),
    }
}

/// Methods that a kind can answer.
fn check_methods(plan: &RouteConfig) -> Result<(), Fault> {
    let any: Methods = Method::ALL.iter().copied().collect();
    let of = |methods: &[Method]| methods.iter().copied().collect::<Methods>();
    let (known, kind) = match plan.kind {
        Kind::Fixed { .. } | Kind::Redirect { .. } => (any, "this kind"),
        Kind::Files { .. } => (Methods::GET, "a route of files"),
        Kind::Dataset(_) => (Methods::GET, "a data set"),
        Kind::Sum => (Methods::GET.union(Methods::POST), "a sum"),
        Kind::Count => (of(&[Method::Post, Method::Put, Method::Patch]), "a count of the body"),
        Kind::Query(_) => {
            let methods = [Method::Get, Method::Post, Method::Put, Method::Delete, Method::Patch];
            (of(&methods), "a statement")
        }
    };
    let fault = |value: String, problem: String| {
        let fix = format!("write some of {}", names(known));
        Err(Fault::new("methods", value, problem, fix))
    };
    if plan.methods.is_empty() {
        return fault("[]".into(), "no method is left".into());
    }
    match plan.methods.iter().find(|&method| !known.has(method)) {
        Some(method) => fault(method.name().into(), format!("{kind} does not answer this")),
        None => Ok(()),
    }
}

fn names(methods: Methods) -> String {
    let written = methods.iter().filter(|&method| method != Method::Head);
    written.map(Method::name).collect::<Vec<_>>().join(", ")
}

fn check_uncoded(plan: &RouteConfig) -> Result<(), Fault> {
    match plan.compress {
        Compress::Off => Ok(()),
        _ => {
            let problem = "answers of this kind are too short for it";
            Err(Fault::new("compress", "", problem, "leave it out"))
        }
    }
}

/// The routes whose responses are dropped by one.
fn invalidated(routes: &[RouteConfig], plan: &RouteConfig) -> Result<Box<[usize]>, Fault> {
    let Kind::Query(query) = &plan.kind else { return Ok(Box::default()) };
    let find = |name: &String| {
        let is_it = |route: &RouteConfig| route.name.as_ref() == Some(name);
        let fault = |problem, fix: String| Fault::new("invalidates", name, problem, fix);
        let Some(at) = routes.iter().position(is_it) else {
            let names = routes.iter().filter_map(|route| route.name.as_deref());
            let fix = match nearest(name, names) {
                Some(suggestion) => format!("did you mean {suggestion}?"),
                None => format!("write name = \"{name}\" into the route that is meant"),
            };
            return Err(fault("no route is called so", fix));
        };
        match &routes[at].kind {
            Kind::Query(target) if target.cache.is_some() => Ok(at),
            _ => Err(fault("nothing of this route is kept", "give it a cache".into())),
        }
    };
    query.invalidates.iter().map(find).collect()
}

/// Values of a parameter of the path that are looked up whole.
const LISTED_MAX: f64 = 1024.0;
