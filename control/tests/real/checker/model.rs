//! What must be so: versions that writes were answered for, editions that reloads were answered for, and
//! what was not as it must be.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError, RwLock};

use super::site::LINGERING;

/// Shared by those who ask and the one who breaks things.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// A batch of requests holds it for reading; who has it for writing knows that none is under way.
    pub(super) gate: RwLock<()>,
    /// Something is broken: a request may be refused. Never answered wrongly, and never without a response.
    faulty: AtomicBool,
    installed: AtomicU64,
    begun: AtomicU64,
    /// Changes of the columns of `measures` that were begun, and those whose reload has returned.
    columns: [AtomicU64; 2],
    items: Vec<Item>,
    tokens: Mutex<Tokens>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    wrong: Mutex<BTreeMap<String, (u64, String)>>,
}

#[derive(Debug, Default)]
struct Item {
    /// Version of the last write that was answered with success.
    answered: AtomicU64,
    /// Version of the last write that was sent.
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Tokens {
    next: u64,
    /// Those whose insertion was answered with success.
    answered: HashSet<u64>,
}

impl Model {
    /// Edition 0 is served, all items are at version 0.
    pub(super) fn new() -> Self {
        Self { items: (0..=LINGERING).map(|_| Item::default()).collect(), ..Self::default() }
    }

    /// Whether a request may be refused now.
    pub(super) fn is_faulty(&self) -> bool {
        self.faulty.load(SeqCst)
    }

    /// Says so, or that it may not any more.
    pub(super) fn set_faulty(&self, faulty: bool) {
        self.faulty.store(faulty, SeqCst);
    }

    /// A reload to this edition begins.
    pub(super) fn begin_edition(&self, edition: u64) {
        self.begun.store(edition, SeqCst);
    }

    /// The reload to it has returned.
    pub(super) fn install_edition(&self, edition: u64) {
        self.installed.store(edition, SeqCst);
    }

    /// The oldest edition that a request sent now may be answered from.
    pub(super) fn oldest_edition(&self) -> u64 {
        self.installed.load(SeqCst)
    }

    /// Editions that a response may come from that has come now, to a request sent when `oldest` was the oldest.
    pub(super) fn editions(&self, oldest: u64) -> RangeInclusive<u64> {
        oldest..=self.begun.load(SeqCst)
    }

    /// Another type of columns comes, and a reload after it.
    pub(super) fn begin_columns(&self) -> u64 {
        self.columns[0].fetch_add(1, SeqCst) + 1
    }

    /// The reload after it has returned.
    pub(super) fn install_columns(&self) {
        self.columns[1].fetch_add(1, SeqCst);
    }

    /// The change that a request sent now is at least answered by.
    pub(super) fn oldest_columns(&self) -> u64 {
        self.columns[1].load(SeqCst)
    }

    /// Whether the columns are still those that they were when `oldest` was the oldest. Where they change, types may
    /// be those before or after until a reload.
    pub(super) fn columns_are(&self, oldest: u64) -> bool {
        self.columns[0].load(SeqCst) == oldest
    }

    /// The version that a read sent now must at least see.
    pub(super) fn oldest_version(&self, id: usize) -> u64 {
        self.items[id].answered.load(SeqCst)
    }

    /// Versions that a read may see that has come back now, sent when `oldest` was the oldest.
    pub(super) fn versions(&self, id: usize, oldest: u64) -> RangeInclusive<u64> {
        oldest..=self.items[id].sent.load(SeqCst)
    }

    /// The version to write next; only the item's one writer may ask.
    pub(super) fn next_version(&self, id: usize) -> u64 {
        self.items[id].sent.fetch_add(1, SeqCst) + 1
    }

    /// The write of `version` was answered with success, or it is known to be stored.
    pub(super) fn stored(&self, id: usize, version: u64) {
        self.items[id].answered.fetch_max(version, SeqCst);
    }

    /// A token that was never used.
    pub(super) fn next_token(&self) -> u64 {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.next += 1;
        tokens.next
    }

    /// The insertion of `token` was answered with success.
    pub(super) fn token_stored(&self, token: u64) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).answered.insert(token);
    }

    /// Compares the table of tokens with what was answered: each at most once, those answered exactly once.
    pub(super) fn compare_tokens(&self, stored: &[u64]) {
        let mut once = HashSet::new();
        for &token in stored {
            if !once.insert(token) {
                self.wrong("token stored twice", &token.to_string());
            }
        }
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        for lost in tokens.answered.difference(&once) {
            self.wrong("token answered and not stored", &lost.to_string());
        }
    }

    /// One more response of this kind.
    pub(super) fn count(&self, kind: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// Something came that must not, with what it said.
    pub(super) fn wrong(&self, what: &str, said: &str) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.entry(what.to_owned()).or_insert_with(|| (0, said.to_owned())).0 += 1;
    }

    /// How many of each kind came.
    pub(super) fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was wrong, how often, and the first of each.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.iter().map(|(what, (count, said))| format!("{count} x {what}: {said}")).collect()
    }
}
