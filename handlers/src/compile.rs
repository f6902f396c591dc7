//! From a site configuration to a site: every route is checked and compiled, and its paths are filed
//! under the methods it has.

use std::collections::HashMap;

use http1::Method;

use crate::build_progress::BuildProgress;
use crate::config::{Bounds, Kind, Parameter, RouteConfig, SiteConfig, Source, ValueKind};
use crate::error::{BuildError, RouteError, RouteErrorKind, SettingError};
use crate::fields::Fields;
use crate::methods::Methods;
use crate::paths::{PathTable, Target};
use crate::response::{AllowResponses, ErrorResponses};
use crate::route::{KindInfo, RouteContext};
use crate::router::{Pattern, PatternError, Router};
use crate::routes::Handler;
use crate::site::{Resource, Route, Site};
use crate::source::Bytes;
use crate::store::StoreBuilder;
use crate::values::words::nearest;

impl Site {
    /// Checks the configuration, computes what can be computed, asks `memory` once for room of the exact
    /// size in bytes, and lays every response into it.
    ///
    /// # Errors
    /// If routes or their data are wrong: all that are. Or the memory is smaller than asked for.
    pub fn build(
        config: &SiteConfig,
        memory: impl FnOnce(usize) -> Box<dyn Bytes>,
    ) -> Result<Self, BuildError> {
        Self::build_watched(config, &BuildProgress::default(), memory)
    }

    /// As [`build`](Self::build). `progress` is written while it goes on, and cancels it.
    ///
    /// # Errors
    /// As [`build`](Self::build). Or it was cancelled.
    pub fn build_watched(
        config: &SiteConfig,
        progress: &BuildProgress,
        memory: impl FnOnce(usize) -> Box<dyn Bytes>,
    ) -> Result<Self, BuildError> {
        let configs = &config.routes;
        progress.begin(configs);
        let all = configs.iter().fold(Methods::NONE, |all, route| all.union(route.methods));
        let mut compiler = Compiler::new(all, progress);
        let errors = compiler.errors(&Fields::default()).expect("heads without extra fields");
        let mut routes = Vec::new();
        let mut wrong = Vec::new();
        for route in 0..configs.len() {
            match compiler.compile(configs, route) {
                Ok(compiled) => routes.push(compiled),
                Err(RouteErrorKind::Cancelled) => return Err(BuildError::Cancelled),
                Err(kind) => wrong.push(RouteError { route, kind }),
            }
        }
        if !wrong.is_empty() {
            return Err(BuildError::Routes(wrong));
        }
        let server = compiler.allowed(all);
        let (router, resources) = compiler.file_all(configs);
        let store = compiler.store.build(memory, progress)?;
        let (resources, routes) = (resources.into(), routes.into());
        Ok(Self { store, router, resources, routes, errors, server })
    }
}

struct Compiler<'c> {
    store: StoreBuilder<'c>,
    paths: PathTable,
    errors: HashMap<Fields, ErrorResponses>,
    allowed: HashMap<Methods, AllowResponses>,
    /// Methods of the whole site.
    all: Methods,
    progress: &'c BuildProgress,
}

impl<'c> Compiler<'c> {
    fn new(all: Methods, progress: &'c BuildProgress) -> Self {
        let (store, paths) = (StoreBuilder::default(), PathTable::default());
        Self { store, paths, errors: HashMap::new(), allowed: HashMap::new(), all, progress }
    }

    /// Compiles the route with this index.
    fn compile(&mut self, routes: &'c [RouteConfig], at: usize) -> Result<Route, RouteErrorKind> {
        self.progress.check()?;
        let config = &routes[at];
        let index = u32::try_from(at).expect("fewer than 2^32 routes");
        check_name(&routes[..at], config)?;
        let invalidates = invalidated(routes, config)?;
        let pattern = Pattern::parse(&config.path, config.below);
        let pattern = pattern.map_err(|PatternError { problem, fix }| {
            SettingError::new("path", &config.path, problem, fix)
        })?;
        let info = Handler::info(config);
        check_methods(config, &info)?;
        check_captures(config, info.parameters, &pattern)?;
        let fields = Fields::check(config, &info.own_fields)?;
        let errors = self.errors(&fields)?;
        let target = Target { route: index, item: Target::OWN_PATH };
        self.paths.add(&pattern, config, target, info.has_own_path)?;
        let (paths, pattern, fields, progress) =
            (&mut self.paths, &pattern, &fields, self.progress);
        let mut route = RouteContext { index, config, pattern, fields, paths, progress };
        let handler = Handler::compile(&mut route, &mut self.store)?;
        let is_of_body = |parameter: &Parameter| parameter.from == Source::Body;
        let path = if config.below { format!("{}*", config.path) } else { config.path.clone() };
        Ok(Route {
            path: path.into(),
            methods: names(config.methods).into(),
            kind: info.kind,
            captures: pattern.captures().map(Into::into).collect(),
            errors,
            handler,
            takes_body: info.parameters.unwrap_or_default().iter().any(is_of_body),
            invalidates,
        })
    }

    fn errors(&mut self, fields: &Fields) -> Result<ErrorResponses, RouteErrorKind> {
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
    fn file_all(&mut self, routes: &[RouteConfig]) -> (Router, Vec<Resource>) {
        let mut exact = Vec::new();
        let mut patterns = Vec::new();
        let mut resources = Vec::new();
        for (at, path) in std::mem::take(&mut self.paths).finish().into_iter().enumerate() {
            let at = u32::try_from(at).expect("fewer than 2^32 paths");
            let allowed = (!path.methods.is_empty()).then(|| self.allowed(path.methods));
            resources.push(Resource::new(&path.targets, allowed));
            match path.pattern.exact() {
                Some(path) => exact.push((path, at)),
                None => patterns.push((path.pattern, at)),
            }
        }
        (Router::new(exact, &patterns, routes.iter().flat_map(listed)), resources)
    }
}

/// The paths of a pattern with one parameter, an integer of few values: `/json/1` to `/json/50`.
fn listed(config: &RouteConfig) -> Vec<String> {
    let parameters = Handler::info(config).parameters.unwrap_or_default();
    let mut of_path = parameters.iter().filter(|parameter| parameter.from == Source::Path);
    let (Some(parameter), None, false) = (of_path.next(), of_path.next(), config.below) else {
        return Vec::new();
    };
    let bounds = parameter.bounds.as_ref().filter(|_| parameter.kind == ValueKind::Integer);
    let is_few = |(least, greatest): &(i64, i64)| {
        greatest.checked_sub(*least).is_some_and(|more| more < LISTED_MAX)
    };
    let Some((least, greatest)) = bounds.and_then(Bounds::to_integers).filter(is_few) else {
        return Vec::new();
    };
    let values = least..=greatest;
    let name = format!("{{{}}}", parameter.name);
    values.map(|value| config.path.replace(&name, &value.to_string())).collect()
}

fn check_name(earlier: &[RouteConfig], config: &RouteConfig) -> Result<(), SettingError> {
    match &config.name {
        Some(name) if earlier.iter().any(|other| other.name.as_ref() == Some(name)) => {
            let problem = "another route is called so";
            Err(SettingError::new("name", name, problem, "give each its own name"))
        }
        _ => Ok(()),
    }
}

/// Where a kind has parameters, every `{name}` of the path is one.
fn check_captures(
    config: &RouteConfig,
    parameters: Option<&[Parameter]>,
    pattern: &Pattern,
) -> Result<(), SettingError> {
    let Some(parameters) = parameters else { return Ok(()) };
    let is_known = |name| parameters.iter().any(|p| p.name == name && p.from == Source::Path);
    match pattern.captures().find(|&name| !is_known(name)) {
        Some(name) => {
            let problem = format!("{{{name}}} is no parameter");
            let fix = format!("add parameters.{name} = {{ from = \"path\", type = .. }}");
            Err(SettingError::new("path", &config.path, problem, fix))
        }
        None => Ok(()),
    }
}

/// Methods that a kind can answer.
fn check_methods(config: &RouteConfig, info: &KindInfo<'_>) -> Result<(), SettingError> {
    let error = |value: String, problem: String| {
        let fix = format!("write some of {}", names(info.methods));
        Err(SettingError::new("methods", value, problem, fix))
    };
    if config.methods.is_empty() {
        return error("[]".into(), "no method is left".into());
    }
    match config.methods.iter().find(|&method| !info.methods.has(method)) {
        Some(method) => error(method.name().into(), format!("{} does not answer this", info.name)),
        None => Ok(()),
    }
}

fn names(methods: Methods) -> String {
    let written = methods.iter().filter(|&method| method != Method::Head);
    written.map(Method::name).collect::<Vec<_>>().join(", ")
}

/// The routes whose responses are dropped by one.
fn invalidated(routes: &[RouteConfig], config: &RouteConfig) -> Result<Box<[usize]>, SettingError> {
    let Kind::Query(query) = &config.kind else { return Ok(Box::default()) };
    let find = |name: &String| {
        let is_it = |route: &RouteConfig| route.name.as_ref() == Some(name);
        let error = |problem, fix: String| SettingError::new("invalidates", name, problem, fix);
        let Some(at) = routes.iter().position(is_it) else {
            let names = routes.iter().filter_map(|route| route.name.as_deref());
            let fix = match nearest(name, names) {
                Some(suggestion) => format!("did you mean {suggestion}?"),
                None => format!("write name = \"{name}\" into the route that is meant"),
            };
            return Err(error("no route is called so", fix));
        };
        match &routes[at].kind {
            Kind::Query(target) if target.cache.is_some() => Ok(at),
            _ => Err(error("nothing of this route is kept", "give it a cache".into())),
        }
    };
    query.invalidates.iter().map(find).collect()
}

/// Values of a parameter of the path that are looked up whole.
const LISTED_MAX: i64 = 1024;
