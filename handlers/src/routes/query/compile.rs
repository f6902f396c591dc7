//! From a configured query to one that is known to work, or to what an operator must change.

use std::sync::OnceLock;

use http1::coding::Coding;
use http1::{HEAD_OUT_MAX, HeadAction, Method, Status};

use crate::config::{CacheConfig, Compress, Database, Parameter, QueryConfig, RouteConfig, Source};
use crate::error::{RouteErrorKind, SettingError};
use crate::fields::{Fields, is_token};
use crate::methods::Methods;
use crate::response::{RenderedResponse, Response};
use crate::route::{KindInfo, RouteContext, RouteHandler, RouteRequest, compress_error};
use crate::store::StoreBuilder;
use crate::traffic::RouteKind;
use crate::values::json::json_text;
use crate::values::parameter::Rule;
use crate::values::template::{Body, Row};
use crate::values::words::{nearest, shown};
use crate::work::Work;

use super::compiled::{JSON, Query, RETRY_AFTER, VARY};
use super::placeholder;

impl RouteHandler for Box<Query> {
    type Config = QueryConfig;

    fn info(config: &QueryConfig) -> KindInfo<'_> {
        let kind = match config.database {
            Database::Postgres => RouteKind::Postgres,
            Database::Sqlite(_) => RouteKind::Sqlite,
        };
        let methods = [Method::Get, Method::Post, Method::Put, Method::Delete, Method::Patch];
        KindInfo {
            parameters: Some(&config.parameters),
            own_fields: config.cache.iter().map(|cache| cache.header.as_str()).collect(),
            ..KindInfo::new("a statement", methods.into_iter().collect(), kind)
        }
    }

    fn compile<'c>(
        config: &'c QueryConfig,
        route: &mut RouteContext<'c, '_>,
        _: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind> {
        Ok(Self::new(compile(route.config, config, route.fields)?))
    }

    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        request.offload()
    }
}

/// Compiles `query`, which `route` runs; `headers` are its extra fields.
pub(super) fn compile(
    route: &RouteConfig,
    query: &QueryConfig,
    headers: &Fields,
) -> Result<Query, SettingError> {
    let names: Vec<_> = query.parameters.iter().map(|parameter| &*parameter.name).collect();
    let rules = rules(route, &query.parameters)?;
    let arguments = arguments(query, &names)?;
    placeholders(query)?;
    let row = Row::compile(&query.row).map_err(|error| error.under("row"))?;
    let body = match &query.body {
        Some(text) => Some(Body::compile(text, &names).map_err(|error| error.under("body"))?),
        None => None,
    };
    all_are_used(&names, &arguments, body.as_ref())?;
    answerable(query)?;
    if let Some(cache) = &query.cache {
        cacheable(cache, route, query)?;
    }
    heads(headers, query.cache.as_ref())?;
    Ok(Query {
        database: query.database.clone(),
        statement: query.statement.as_str().into(),
        sql: query.sql.as_str().into(),
        rules,
        arguments,
        row,
        body,
        status: query.status,
        headers: headers.clone(),
        codings: codings(&route.compress)?,
        unavailable: query.unavailable.as_ref().map(|body| body.as_bytes().into()),
        cache: query.cache.clone(),
        invalidates: !query.invalidates.is_empty(),
        is_taken_for_read: route.methods == Methods::GET && !query.writes,
        only_reads: match query.database {
            // It is opened for reading only.
            Database::Sqlite(_) => OnceLock::from(true),
            Database::Postgres => OnceLock::new(),
        },
    })
}

fn rules(route: &RouteConfig, parameters: &[Parameter]) -> Result<Box<[Rule]>, SettingError> {
    for (at, Parameter { name, from, .. }) in parameters.iter().enumerate() {
        if parameters[..at].iter().any(|earlier| earlier.name == *name) {
            let problem = "two parameters have this name";
            return Err(SettingError::new("parameters", name, problem, "give each its own"));
        }
        if *from == Source::Body && route.methods.has(Method::Get) {
            let key = format!("parameters.{name}.from");
            let problem = "the route answers GET, which has no body";
            return Err(SettingError::new(key, "body", problem, "write methods = [\"POST\"], say"));
        }
    }
    parameters.iter().map(|parameter| Rule::compile(parameter, &route.path)).collect()
}

/// The index of the parameter of each placeholder.
fn arguments(query: &QueryConfig, names: &[&str]) -> Result<Box<[usize]>, SettingError> {
    let index = |argument: &String| {
        names.iter().position(|name| name == argument).ok_or_else(|| {
            let fix = match nearest(argument, names.iter().copied()) {
                Some(suggestion) => format!("did you mean {suggestion}?"),
                None => format!("add parameters.{argument} = {{ from = .., type = .. }}"),
            };
            SettingError::new("arguments", shown(argument), "no parameter is called this", fix)
        })
    };
    query.arguments.iter().map(index).collect()
}

/// The placeholders of the statement are numbered from 1 to the number of arguments.
fn placeholders(query: &QueryConfig) -> Result<(), SettingError> {
    let refuse = |problem: String, fix: String| {
        Err(SettingError::new("statement", &*query.statement, problem, fix))
    };
    let found = match placeholder::numbers(&query.sql, &query.database) {
        Ok(found) => found,
        Err(error) => return refuse(error.problem, error.fix.into()),
    };
    let arguments = query.arguments.len();
    if let Some(number) = found.last().filter(|number| **number > arguments) {
        let problem = format!("it has a placeholder {number}, but {arguments} arguments");
        return refuse(problem, "name a parameter in arguments for each placeholder".into());
    }
    match (1..=arguments).find(|number| !found.contains(number)) {
        Some(number) => {
            let argument = &query.arguments[number - 1];
            let problem = format!("it has no placeholder {number} for the argument {argument}");
            refuse(problem, "use it, or take it from arguments".into())
        }
        None => Ok(()),
    }
}

fn all_are_used(
    names: &[&str],
    arguments: &[usize],
    body: Option<&Body>,
) -> Result<(), SettingError> {
    let is_used =
        |at: usize| arguments.contains(&at) || body.is_some_and(|template| template.uses(at));
    match (0..names.len()).find(|&at| !is_used(at)) {
        Some(at) => {
            let problem = "neither arguments nor body use it";
            Err(SettingError::new("parameters", names[at], problem, "use it, or take it away"))
        }
        None => Ok(()),
    }
}

/// What is answered is a response.
fn answerable(query: &QueryConfig) -> Result<(), SettingError> {
    if query.status.class() != 2 || matches!(query.status, Status::S204 | Status::S206) {
        let code = query.status.code().to_string();
        let problem = "a response with rows does not have this status";
        return Err(SettingError::new("status", code, problem, "write 200"));
    }
    match &query.unavailable {
        Some(body) if json_text(body).is_none() => {
            let fix = "write JSON, or take it away for 503";
            Err(SettingError::new("unavailable", shown(body), "it is not JSON", fix))
        }
        _ => Ok(()),
    }
}

fn cacheable(
    cache: &CacheConfig,
    route: &RouteConfig,
    query: &QueryConfig,
) -> Result<(), SettingError> {
    let refuse = |problem: &str, fix: &str| {
        Err(SettingError::new("cache", format!("{:?}", cache.lifetime), problem, fix))
    };
    if route.methods != Methods::GET {
        return refuse("the route answers more than GET", "cache responses to GET only");
    }
    if query.writes {
        return refuse("its statement writes", "take cache away, or writes = true");
    }
    if query.parameters.iter().any(|parameter| parameter.from == Source::Body) {
        return refuse("a response depends on the body", "take parameters from path and query");
    }
    if cache.lifetime.is_zero() {
        return refuse("nothing is kept for no time", "give it some, or take cache away");
    }
    if !is_token(&cache.header) {
        let (problem, fix) = ("it is no field name", "use letters, digits and hyphens: X-Cache");
        return Err(SettingError::new("cache.header", shown(&cache.header), problem, fix));
    }
    Ok(())
}

/// Every head that this route can have fits.
fn heads(headers: &Fields, cache: Option<&CacheConfig>) -> Result<(), SettingError> {
    let cache = cache.map(|cache| (&*cache.header, "MISS"));
    let all = || headers.iter().chain([VARY, RETRY_AFTER]).chain(cache);
    let len = |&status: &Status| RenderedResponse::head_len_max(status, JSON, all());
    match Status::ALL.iter().map(len).max() {
        Some(len) if len > HEAD_OUT_MAX => {
            let problem = format!("the head of a response may have {len} bytes");
            let fix = format!("at most {HEAD_OUT_MAX} are sent: shorten the fields");
            let fields = format!("{} fields", headers.iter().count());
            Err(SettingError::new("headers", fields, problem, fix))
        }
        _ => Ok(()),
    }
}

/// What a response may be in; as it is where nothing else is wanted.
fn codings(compress: &Compress) -> Result<Box<[Coding]>, SettingError> {
    let mut codings = match compress {
        Compress::Off => Vec::new(),
        Compress::PerRequest(codings) => codings.clone(),
        Compress::Precomputed(_) => {
            let problem = "rows are not known before they are asked for";
            return Err(compress_error("precomputed", problem, "write \"per-request\""));
        }
    };
    if !codings.contains(&Coding::Identity) {
        codings.push(Coding::Identity);
    }
    Ok(codings.into())
}
