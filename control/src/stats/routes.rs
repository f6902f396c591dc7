//! Requests by route over the life of the server: a reload makes new routes, the numbers go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handlers::{RouteKind, Site, Traffic};

use super::report::RouteReport;

/// All requests that were ever given to a route.
#[derive(Debug, Default)]
pub(crate) struct RouteLedger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The newest last.
    sites: Vec<Entry>,
    /// Of sites that no worker serves with any more, by worker.
    past: HashMap<Route, Vec<u64>>,
}

/// A site that workers serve with.
#[derive(Debug)]
struct Entry {
    /// In the order of the configuration, then no route.
    routes: Vec<Route>,
    /// Where each is in `routes`.
    index: HashMap<Route, usize>,
    /// One for each worker.
    traffic: Vec<Arc<Traffic>>,
}

/// What makes a route of one site the same as one of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Route {
    path: String,
    methods: String,
    kind: RouteKind,
}

impl Route {
    fn unrouted() -> Self {
        Self { path: String::new(), methods: String::new(), kind: RouteKind::Unrouted }
    }
}

impl RouteLedger {
    /// `site` is served from now on; `traffic` is what each worker counts in.
    pub(crate) fn add(&self, site: &Site, traffic: Vec<Arc<Traffic>>) {
        let named = site.route_names().map(|name| Route {
            path: name.path.to_owned(),
            methods: name.methods.to_owned(),
            kind: name.kind,
        });
        let routes: Vec<_> = named.chain([Route::unrouted()]).collect();
        let index = routes.iter().cloned().zip(0..).collect();
        let mut entries = self.entries();
        entries.retire();
        entries.sites.push(Entry { routes, index, traffic });
    }

    /// The routes of the newest site in their order, then no route, then those of earlier sites that took
    /// requests; of all workers, or of the one with this index.
    pub(crate) fn reports(&self, worker: Option<usize>) -> Vec<RouteReport> {
        let mut entries = self.entries();
        entries.retire();
        let Some(newest) = entries.sites.last() else { return Vec::new() };
        let mut order = newest.routes.clone();
        let mut earlier: Vec<_> = entries
            .past
            .keys()
            .chain(entries.sites.iter().flat_map(|entry| &entry.routes))
            .filter(|route| !newest.index.contains_key(route))
            .cloned()
            .collect();
        earlier.sort_by(|a, b| (&a.path, &a.methods).cmp(&(&b.path, &b.methods)));
        earlier.dedup();
        order.extend(earlier);
        order.into_iter().map(|route| entries.report(route, worker)).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Takes over the numbers of sites that no worker can add to any more.
    fn retire(&mut self) {
        let Self { sites, past } = self;
        let newest = sites.len().saturating_sub(1);
        let mut at = 0;
        sites.retain(|entry| {
            let is_newest = at == newest;
            at += 1;
            // A count of one is ours, and nobody can make another from it.
            let is_in_use = entry.traffic.iter().any(|traffic| Arc::strong_count(traffic) > 1);
            if is_newest || is_in_use {
                return true;
            }
            for (worker, traffic) in entry.traffic.iter().enumerate() {
                for (route, requests) in entry.routes.iter().zip(traffic.requests()) {
                    let numbers = past.entry(route.clone()).or_default();
                    numbers.resize(numbers.len().max(worker + 1), 0);
                    numbers[worker] += requests;
                }
            }
            false
        });
    }

    fn report(&self, route: Route, worker: Option<usize>) -> RouteReport {
        let is_wanted = |at: &usize| worker.is_none_or(|worker| worker == *at);
        let past = self.past.get(&route).into_iter().flatten().enumerate();
        let past: u64 = past.filter(|(at, _)| is_wanted(at)).map(|(_, n)| n).sum();
        let mut requests = past;
        for entry in &self.sites {
            let Some(&index) = entry.index.get(&route) else { continue };
            let wanted = entry.traffic.iter().enumerate().filter(|(at, _)| is_wanted(at));
            requests +=
                wanted.filter_map(|(_, traffic)| traffic.requests().nth(index)).sum::<u64>();
        }
        let Route { path, methods, kind } = route;
        RouteReport { path, methods, kind: kind.name().to_owned(), requests }
    }
}

#[cfg(test)]
mod tests {
    use handlers::{RequestBufferPool, SiteConfig, SiteHandle};
    use http1::{Conn, Context, HttpDate, Limits, Out};

    use super::*;

    /// A site with a route for each of `paths`.
    fn site(paths: &[&str]) -> Arc<Site> {
        let route = |path: &&str| handlers::config::RouteConfig {
            name: None,
            path: (*path).to_owned(),
            below: false,
            methods: handlers::Methods::GET,
            headers: Vec::new(),
            compress: handlers::config::Compress::Off,
            kind: handlers::config::Kind::Sum,
        };
        let blueprint = SiteConfig { routes: paths.iter().map(route).collect() };
        Arc::new(Site::build(&blueprint, |len| Box::new(vec![0; len])).expect("builds"))
    }

    fn site_handle(site: &Arc<Site>) -> Arc<SiteHandle> {
        Arc::new(SiteHandle::new(Arc::clone(site), Arc::new(RequestBufferPool::new(1, 64))))
    }

    fn get(site_handle: &SiteHandle, path: &str) {
        let (limits, date) = (Limits::default(), HttpDate::from_unix(0));
        let observer = &mut ();
        let mut context = Context {
            service: site_handle,
            limits: &limits,
            date: &date,
            observer,
            one_exchange: false,
        };
        let mut room = [0; 4096];
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Conn::new().advance(request.as_bytes(), false, &mut Out::new(&mut room), &mut context);
    }

    fn counts(ledger: &RouteLedger, worker: Option<usize>) -> Vec<(String, u64)> {
        ledger.reports(worker).into_iter().map(|route| (route.path, route.requests)).collect()
    }

    #[test]
    fn numbers_go_on_over_reloads_and_a_route_that_is_gone_stays() {
        let ledger = RouteLedger::default();
        let old = site(&["/a", "/b"]);
        let workers = [site_handle(&old), site_handle(&old)];
        ledger.add(
            &old,
            workers.iter().map(|site_handle| Arc::clone(site_handle.traffic())).collect(),
        );
        get(&workers[0], "/a");
        get(&workers[1], "/a");
        get(&workers[1], "/b");
        get(&workers[1], "/nowhere");
        let all = |a, b, none| vec![("/a".into(), a), ("/b".into(), b), (String::new(), none)];
        assert_eq!(counts(&ledger, None), all(2, 1, 1));
        assert_eq!(counts(&ledger, Some(1)), all(1, 1, 1));

        let new = site(&["/b", "/c"]);
        let fresh = [site_handle(&new), site_handle(&new)];
        ledger
            .add(&new, fresh.iter().map(|site_handle| Arc::clone(site_handle.traffic())).collect());
        get(&fresh[0], "/c");
        get(&fresh[0], "/b");
        // An exchange under way still counts on the old one.
        get(&workers[0], "/a");
        let expected: Vec<(String, u64)> =
            vec![("/b".into(), 2), ("/c".into(), 1), (String::new(), 1), ("/a".into(), 3)];
        assert_eq!(counts(&ledger, None), expected);
        drop(workers);
        assert_eq!(counts(&ledger, None), expected, "nothing is lost with the old site");
        assert_eq!(ledger.entries().sites.len(), 1, "and nothing is kept of it but numbers");
        assert_eq!(
            counts(&ledger, Some(1)),
            [("/b".into(), 1), ("/c".into(), 0), (String::new(), 1), ("/a".into(), 1)]
        );
    }
}
