//! The paths of a site while it is compiled: which route answers which method of each.

use std::collections::HashMap;
use std::mem;

use http1::Method;

use crate::config::RouteConfig;
use crate::error::SettingError;
use crate::methods::Methods;
use crate::router::Pattern;

/// What answers a method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Index of the route.
    pub(crate) route: u32,
    /// Which of its paths.
    pub(crate) item: u32,
}

impl Target {
    /// The item of the path that is configured.
    pub(crate) const OWN_PATH: u32 = u32::MAX;
}

/// All paths that were added so far.
#[derive(Default)]
pub(crate) struct PathTable {
    paths: Vec<PathEntry>,
    by_shape: HashMap<Pattern, usize>,
    /// Paths that are added once all others are.
    if_free: Vec<(Pattern, Methods, Target)>,
}

/// A path and what answers it, by method.
pub(crate) struct PathEntry {
    pub(crate) pattern: Pattern,
    pub(crate) targets: Vec<(Method, Target)>,
    /// Methods whose target is there: not those of a path that only other paths are below of.
    pub(crate) methods: Methods,
}

impl PathTable {
    /// Leads `methods` to `target`, as far as no route has them when all were added.
    pub(crate) fn add_if_free(&mut self, pattern: Pattern, methods: Methods, target: Target) {
        self.if_free.push((pattern, methods, target));
    }

    /// All paths, once all were added.
    pub(crate) fn finish(mut self) -> Vec<PathEntry> {
        for (pattern, methods, target) in mem::take(&mut self.if_free) {
            let at = self.entry(&pattern);
            let path = &mut self.paths[at];
            for method in methods.iter() {
                if !path.targets.iter().any(|(known, _)| *known == method) {
                    path.targets.push((method, target));
                }
            }
            path.methods = path.methods.union(methods);
        }
        self.paths
    }

    fn entry(&mut self, pattern: &Pattern) -> usize {
        *self.by_shape.entry(pattern.shape()).or_insert_with(|| {
            let (targets, methods) = (Vec::new(), Methods::NONE);
            self.paths.push(PathEntry { pattern: pattern.clone(), targets, methods });
            self.paths.len() - 1
        })
    }

    /// Leads the methods of a route to `target`. `is_there`: the path itself has something to answer.
    pub(crate) fn add(
        &mut self,
        pattern: &Pattern,
        config: &RouteConfig,
        target: Target,
        is_there: bool,
    ) -> Result<(), SettingError> {
        let at = self.entry(pattern);
        let path = &mut self.paths[at];
        let error = |problem: String, fix| SettingError::new("path", &config.path, problem, fix);
        if path.pattern != *pattern {
            let problem = format!("{} differs by the names of its parameters only", path.pattern);
            return Err(error(problem, "give them the same names"));
        }
        for method in config.methods.iter() {
            if let Some((_, other)) = path.targets.iter().find(|(known, _)| *known == method) {
                let problem = match other.route == target.route {
                    true => format!("{pattern} is there twice"),
                    false => format!(
                        "{} {pattern} is answered by another route already (number {})",
                        method.name(),
                        other.route + 1
                    ),
                };
                return Err(error(problem, "leave one of them out, or let their methods differ"));
            }
            path.targets.push((method, target));
        }
        if is_there {
            path.methods = path.methods.union(config.methods);
        }
        Ok(())
    }
}
