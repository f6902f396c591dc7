//! The same work for each of many items, on all cores that this thread may use.

use std::num::NonZero;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `work` makes of each of `items`, in their order. Where the system has no more threads, it takes longer.
///
/// # Panics
/// If `work` does.
pub(crate) fn map<'i, T: Sync, R: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> R + Sync,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(item)));
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let spawn = |_| {
            let thread = thread::Builder::new().name("compile".into());
            thread.spawn_scoped(scope, share).ok()
        };
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut results = share();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        results
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_the_order_stays() {
        for len in [0, 1, 2, 1_000] {
            let items: Vec<usize> = (0..len).collect();
            let calls = AtomicUsize::new(0);
            let doubled = map(&items, |item| {
                calls.fetch_add(1, Ordering::Relaxed);
                item * 2
            });
            assert!(doubled.iter().enumerate().all(|(at, double)| *double == at * 2));
            assert_eq!((doubled.len(), calls.into_inner()), (len, len));
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let one = |item: &i32| assert_ne!(*item, 7);
        assert!(panic::catch_unwind(|| map(&[1, 7, 3], one)).is_err());
    }
}
