//! Finds all faults of a blueprint, where the site tells the first one: a route that is at fault is left
//! out, and the others are tried again. Every fault gets the line of the key it is about.

use handlers::config::{Kind, RouteConfig};
use handlers::{BuildError, Site, SiteConfig};

use super::ContentError;
use crate::config::{ConfigError, Draft};

/// Routes on their way to a site.
#[derive(Default)]
pub(super) struct Parts<'d> {
    blueprint: SiteConfig,
    /// Where each route of the blueprint was written.
    drafts: Vec<&'d Draft>,
    faults: Vec<ContentError>,
}

impl<'d> Parts<'d> {
    /// A route with its content, or why it has none.
    pub(super) fn add(&mut self, draft: &'d Draft, filled: Result<RouteConfig, ConfigError>) {
        match filled {
            Ok(route) => {
                self.blueprint.routes.push(route);
                self.drafts.push(draft);
            }
            Err(error) => self.faults.push(error.into()),
        }
    }

    /// The blueprint, if every route has its content.
    ///
    /// # Errors
    /// Some have not; with the faults of the others.
    pub(super) fn whole(&mut self) -> Result<&SiteConfig, ContentError> {
        // Others may have been left out before.
        self.forget_strangers();
        if self.faults.is_empty() {
            return Ok(&self.blueprint);
        }
        Err(std::mem::take(self).survey())
    }

    /// `error`, which the site made of the blueprint, and all other faults there are.
    pub(super) fn explain(mut self, error: BuildError) -> ContentError {
        self.leave_out(error);
        self.survey()
    }

    fn survey(mut self) -> ContentError {
        loop {
            self.forget_strangers();
            let built = Site::build(&self.blueprint, |bytes| Box::new(vec![0; bytes]));
            let Err(error) = built else { break };
            if !self.leave_out(error) {
                break;
            }
        }
        ContentError::all(self.faults).expect_err("a fault led here")
    }

    /// Notes `error` and leaves out the routes that are at fault; false if there are none.
    fn leave_out(&mut self, error: BuildError) -> bool {
        let guilty = guilty(&self.blueprint, &error);
        let first = guilty.first().map(|at| self.drafts[*at]);
        self.faults.push(explain(first, error));
        for at in guilty.iter().rev() {
            self.blueprint.routes.remove(*at);
            self.drafts.remove(*at);
        }
        !guilty.is_empty()
    }

    /// Takes the names of routes that were left out from the others.
    fn forget_strangers(&mut self) {
        let names: Vec<String> =
            self.blueprint.routes.iter().filter_map(|route| route.name.clone()).collect();
        for route in &mut self.blueprint.routes {
            if let Kind::Query(query) = &mut route.kind {
                query.invalidates.retain(|name| names.contains(name));
            }
        }
    }
}

/// The routes that an error is about, ascending.
fn guilty(blueprint: &SiteConfig, error: &BuildError) -> Vec<usize> {
    let routes = &blueprint.routes;
    match error {
        BuildError::Route { route, .. } => vec![*route],
        BuildError::Memory { .. } => Vec::new(),
        _ => (0..routes.len()).filter(|at| fails_alone(&routes[*at], error)).collect(),
    }
}

/// Whether a route's own content is what `error` is about.
fn fails_alone(route: &RouteConfig, error: &BuildError) -> bool {
    let has_content = matches!(route.kind, Kind::Files { .. } | Kind::Dataset(_));
    let blueprint = || SiteConfig { routes: vec![route.clone()] };
    has_content
        && Site::build(&blueprint(), |bytes| Box::new(vec![0; bytes])).err().as_ref() == Some(error)
}

/// The error with the line it is about, if it is about a line.
fn explain(draft: Option<&Draft>, error: BuildError) -> ContentError {
    let Some(draft) = draft else { return error.into() };
    match error {
        BuildError::Route { key, value, problem, fix, .. } => {
            draft.refuse_part(written(&key), &value, &problem, fix).into()
        }
        BuildError::Syntax { .. } | BuildError::NotItems { .. } | BuildError::NotObject { .. } => {
            draft.refuse("file", error.to_string(), "mend the file, or name another").into()
        }
        BuildError::Key { ref key, .. } => {
            let formula = formula(draft, key);
            draft.refuse(&formula, error.to_string(), "mend the formula, or the file").into()
        }
        BuildError::FileName { .. } | BuildError::Sibling { .. } => {
            draft.refuse("directory", error.to_string(), "mend that file, or take it away").into()
        }
        BuildError::Memory { .. } => error.into(),
    }
}

/// The formula that names a key of the items.
fn formula(draft: &Draft, key: &str) -> String {
    let Kind::Dataset(dataset) = &draft.plan.kind else { return "computed".into() };
    let names = |formula: &str| formula.split('*').any(|name| name.trim() == key);
    let found = dataset.computed.iter().find(|(_, formula)| names(formula));
    found.map_or_else(|| "computed".into(), |(name, _)| format!("computed.{name}"))
}

/// A key as the configuration has it, where the blueprint calls it otherwise.
fn written(key: &str) -> &str {
    match key {
        "location" => "to",
        "cache.header" => "cache_header",
        key => key,
    }
}
