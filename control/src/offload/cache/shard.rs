//! The part of the cache that one lock guards.

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Instant;

use handlers::RenderedResponse;
use hashlink::LinkedHashMap;

use super::block::Block;
use super::fillings::{Fillings, Version, Waiter};
use super::key::{Hashed, Key};

/// The responses of some stripes.
#[derive(Debug)]
pub(super) struct Shard<W> {
    /// Least recently used first.
    pub(super) entries: LinkedHashMap<Key, Entry, BuildHasherDefault<Hashed>>,
    /// Of all entries.
    pub(super) bytes: usize,
    /// Address of the site that the entries belong to.
    pub(super) site: usize,
    /// This shard's stripes only.
    pub(super) stripes: Vec<Stripe>,
    /// By index; as far as they were asked for.
    routes: Vec<Route>,
    /// Of all stripes and routes.
    pub(super) block: Block,
    /// Reads that are under way, those of earlier sites included.
    pub(super) fillings: Fillings<W>,
}

/// Keys that reads and writes are told apart by.
#[derive(Clone, Debug, Default)]
pub(super) struct Stripe {
    /// How often a key of it was written.
    pub(super) epoch: u64,
    /// Of its keys.
    pub(super) block: Block,
}

/// A route, in one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// How often all of it was dropped.
    pub(super) generation: u64,
    /// Of all its keys.
    pub(super) block: Block,
}

impl<W: Waiter> Shard<W> {
    /// An empty one with so many stripes, for the site at this address.
    pub(super) fn new(site: usize, stripes: usize) -> Self {
        Self {
            entries: LinkedHashMap::default(),
            bytes: 0,
            site,
            stripes: vec![Stripe::default(); stripes],
            routes: Vec::new(),
            block: Block::default(),
            fillings: Fillings::new(),
        }
    }

    /// The route with this index.
    pub(super) fn route(&mut self, route: usize) -> &mut Route {
        if self.routes.len() <= route {
            self.routes.resize(route + 1, Route::default());
        }
        &mut self.routes[route]
    }

    /// The version of what is read of this route and stripe from now on.
    pub(super) fn version(&mut self, route: usize, stripe: usize) -> Version {
        Version { epoch: self.stripes[stripe].epoch, generation: self.route(route).generation }
    }

    /// Whether responses of this route and stripe are kept out.
    pub(super) fn is_blocked(&mut self, route: usize, stripe: usize, now: Instant) -> bool {
        let blocks = [self.block, self.stripes[stripe].block, self.route(route).block];
        blocks.iter().any(|block| block.is_on(now))
    }

    /// Every block.
    pub(super) fn blocks(&mut self) -> impl Iterator<Item = &mut Block> {
        let stripes = self.stripes.iter_mut().map(|stripe| &mut stripe.block);
        let routes = self.routes.iter_mut().map(|route| &mut route.block);
        stripes.chain(routes).chain([&mut self.block])
    }
}

/// A cached response.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it is sent again.
    pub(super) response: Arc<RenderedResponse>,
    /// When it is too old.
    pub(super) until: Instant,
    /// Of its route, when it was asked for.
    pub(super) generation: u64,
    /// Of its body, its key and what is around them.
    pub(super) bytes: usize,
}
