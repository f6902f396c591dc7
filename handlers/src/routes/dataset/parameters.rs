//! The parameters of a data set: integers of the path and the query, one of which may count the items.

use http1::Status;

use crate::config::{Bounds, DatasetConfig, Parameter, Source, ValueKind};
use crate::error::SettingError;
use crate::request::CAPTURES_MAX;
use crate::response::{VALUES_MAX, Values};
use crate::route::RouteContext;
use crate::values::parameter::Rule;

/// The parameters, checked.
#[derive(Debug)]
pub(crate) struct Parameters {
    rules: Box<[(Rule, Place)]>,
    count: Option<usize>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// This segment of the path, of those that are captured.
    Capture(usize),
    Query,
}

impl Parameters {
    /// Checks the parameters of a data set of `len` items. No count will exceed them.
    pub(crate) fn compile(
        route: &RouteContext<'_, '_>,
        config: &DatasetConfig,
        len: usize,
    ) -> Result<Self, SettingError> {
        if config.parameters.len() > VALUES_MAX {
            let found = config.parameters.len().to_string();
            let fix = "take some of them away";
            let problem = "a data set has at most 4 of them";
            return Err(SettingError::new("parameters", found, problem, fix));
        }
        let count = count(config)?;
        let mut rules = Vec::new();
        for (at, parameter) in config.parameters.iter().enumerate() {
            if config.parameters[..at].iter().any(|earlier| earlier.name == parameter.name) {
                let problem = "two parameters have this name";
                return Err(SettingError::new(
                    "parameters",
                    &parameter.name,
                    problem,
                    "rename one",
                ));
            }
            let place = place(route, parameter)?;
            let mut parameter = parameter.clone();
            if count == Some(at) {
                bound_count(&mut parameter, len)?;
            }
            rules.push((Rule::compile(&parameter, &route.config.path)?, place));
        }
        Ok(Self { rules: rules.into(), count })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Index of the one that counts.
    pub(crate) fn count(&self) -> Option<usize> {
        self.count
    }

    /// Reads the values of a request; `Err` is the status that refuses them.
    pub(crate) fn read<'p>(
        &self,
        captures: impl Iterator<Item = &'p [u8]>,
        query: &[u8],
    ) -> Result<Values, Status> {
        let mut segments = [None; CAPTURES_MAX];
        for (slot, capture) in segments.iter_mut().zip(captures) {
            *slot = str::from_utf8(capture).ok();
        }
        let mut values = [0; VALUES_MAX];
        for (value, (rule, place)) in values.iter_mut().zip(&self.rules) {
            let capture = match *place {
                Place::Capture(at) => Some(segments[at].ok_or(Status::S404)?),
                Place::Query => None,
            };
            *value = rule.integer(capture, query)?;
        }
        Ok(Values(values))
    }
}

/// Index of the parameter that counts.
fn count(config: &DatasetConfig) -> Result<Option<usize>, SettingError> {
    let Some(name) = &config.count else { return Ok(None) };
    let found = config.parameters.iter().position(|parameter| parameter.name == *name);
    found.map(Some).ok_or_else(|| {
        let fix = format!("add parameters.{name} = {{ from = .., type = \"integer\" }}");
        SettingError::new("count", name, "no parameter has this name", fix)
    })
}

fn place(route: &RouteContext<'_, '_>, parameter: &Parameter) -> Result<Place, SettingError> {
    let key = |key: &str| format!("parameters.{}.{key}", parameter.name);
    if parameter.kind != ValueKind::Integer {
        let found = format!("{:?}", parameter.kind).to_lowercase();
        let problem = "a data set has integers only";
        return Err(SettingError::new(key("type"), found, problem, "write \"integer\""));
    }
    match parameter.from {
        Source::Query => Ok(Place::Query),
        Source::Path => {
            let at = route.pattern.captures().position(|name| name == parameter.name);
            // Of one that the path does not have `Rule::compile` says so.
            Ok(Place::Capture(at.unwrap_or_default()))
        }
        Source::Body => {
            let fix = "write \"path\" or \"query\"";
            Err(SettingError::new(key("from"), "body", "a data set reads no body", fix))
        }
    }
}

/// A count is not below nothing and not beyond the items.
fn bound_count(parameter: &mut Parameter, len: usize) -> Result<(), SettingError> {
    let bounds = parameter.bounds.clone().unwrap_or_else(|| Bounds::integers(0, i64::MAX));
    let Some((least, greatest)) = bounds.to_integers() else {
        // `Rule::compile` refuses what is not whole.
        return Ok(());
    };
    let key = |key: &str| format!("parameters.{}.{key}", parameter.name);
    if least < 0 {
        let found = bounds.to_string();
        let fix = "begin at 0 or 1";
        return Err(SettingError::new(key("bounds"), found, "no count is below 0", fix));
    }
    let most = i64::try_from(len).expect("items fit memory");
    if least > most {
        let found = bounds.to_string();
        let problem = format!("there are {len} items only");
        return Err(SettingError::new(key("bounds"), found, problem, "begin below that"));
    }
    parameter.bounds = Some(Bounds::integers(least, greatest.min(most)));
    Ok(())
}

const _: () = assert!(VALUES_MAX == 4, "a message above says so");
