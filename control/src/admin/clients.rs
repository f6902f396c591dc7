//! The places for clients. When all are taken, the client that has been idle longest makes room for
//! a new one, so that clients that say nothing keep nobody out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// All places. Clones are the same ones.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    shared: Arc<Shared>,
    max: usize,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Occupant>,
}

/// One client, as far as it matters to others.
#[derive(Debug)]
struct Occupant {
    /// Since when the server waits for it; `None` while a command of it is carried out.
    idle_since: Option<Instant>,
    /// Ends its task, once there is one.
    task: Option<AbortHandle>,
}

/// The right of one client to be served. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    id: u64,
}

impl Clients {
    /// At most `max` at once.
    pub(super) fn new(max: usize) -> Self {
        Self { shared: Arc::default(), max }
    }

    /// Waits until there is a place: a free one, or that of the client that has been idle longest if
    /// that is at least [`GRACE`]. The other client's connection is closed.
    pub(super) async fn admit(&self) -> Place {
        loop {
            match self.try_admit(Instant::now()) {
                Ok(place) => return place,
                Err(wait) => {
                    tokio::select! {
                        () = self.shared.freed.notified() => {}
                        () = sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The client in place `id` is served by `task`. Until that is known it is not closed.
    pub(super) fn set_task(&self, id: u64, task: AbortHandle) {
        self.shared.occupant(id, |occupant| occupant.task = Some(task));
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shared.lock(|taken| taken.places.len())
    }

    /// A place, or how long it takes until there may be one.
    fn try_admit(&self, now: Instant) -> Result<Place, Duration> {
        self.shared.lock(|taken| {
            if taken.places.len() >= self.max {
                taken.close_idle(now)?;
            }
            let id = taken.next;
            taken.next += 1;
            taken.places.insert(id, Occupant { idle_since: Some(now), task: None });
            Ok(Place { shared: Arc::clone(&self.shared), id })
        })
    }
}

impl Taken {
    /// Closes the client that has been idle longest.
    fn close_idle(&mut self, now: Instant) -> Result<(), Duration> {
        let idle = self.places.iter().filter_map(|(id, occupant)| {
            let since = occupant.idle_since?;
            occupant.task.is_some().then_some((since, *id))
        });
        let Some((since, id)) = idle.min() else { return Err(GRACE) };
        let wait = GRACE.saturating_sub(now.saturating_duration_since(since));
        if !wait.is_zero() {
            return Err(wait);
        }
        if let Some(Occupant { task: Some(task), .. }) = self.places.remove(&id) {
            task.abort();
        }
        Ok(())
    }
}

impl Place {
    /// Which place it is.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The server waits for the client, from now on.
    pub(super) fn set_idle(&self) {
        self.shared.occupant(self.id, |occupant| occupant.idle_since = Some(Instant::now()));
    }

    /// A command of the client is carried out: it is not closed meanwhile.
    pub(super) fn set_busy(&self) {
        self.shared.occupant(self.id, |occupant| occupant.idle_since = None);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock(|taken| taken.places.remove(&self.id));
        self.shared.freed.notify_one();
    }
}

impl Shared {
    fn lock<T>(&self, f: impl FnOnce(&mut Taken) -> T) -> T {
        f(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the occupant of place `id`, unless it was closed.
    fn occupant(&self, id: u64, change: impl FnOnce(&mut Occupant)) {
        self.lock(|taken| taken.places.get_mut(&id).map(change));
    }
}

/// A client may be idle this long whoever else waits.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A place with a task that never ends by itself.
    fn seat(clients: &Clients, now: Instant) -> (u64, tokio::task::JoinHandle<()>) {
        let place = clients.try_admit(now).expect("there is a place");
        let id = place.id();
        let task = tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(place);
        });
        clients.set_task(id, task.abort_handle());
        (id, task)
    }

    #[tokio::test]
    async fn the_longest_idle_makes_room() {
        let clients = Clients::new(2);
        let start = Instant::now();
        let (_, first) = seat(&clients, start);
        let (_, second) = seat(&clients, start + Duration::from_millis(10));
        assert_eq!(clients.try_admit(start).expect_err("all are fresh"), GRACE);
        let early = start + Duration::from_millis(400);
        assert_eq!(
            clients.try_admit(early).expect_err("still within its grace"),
            Duration::from_millis(600)
        );
        let place = clients.try_admit(start + GRACE).expect("the first one has had its time");
        assert!(first.await.expect_err("was closed").is_cancelled());
        assert!(!second.is_finished());
        assert_eq!(clients.len(), 2, "the dropped place of the first one frees no other");
        drop(place);
        assert_eq!(clients.len(), 1);
        second.abort();
        assert!(second.await.is_err());
        assert_eq!(clients.len(), 0);
    }

    #[tokio::test]
    async fn whoever_is_busy_stays_and_others_wait() {
        let clients = Clients::new(1);
        let place = clients.admit().await;
        clients.set_task(place.id(), tokio::spawn(async {}).abort_handle());
        place.set_busy();
        let much_later = Instant::now() + 60 * GRACE;
        assert_eq!(clients.try_admit(much_later).expect_err("it is busy"), GRACE);
        let waiting = tokio::spawn({
            let clients = clients.clone();
            async move { drop(clients.admit().await) }
        });
        tokio::task::yield_now().await;
        place.set_idle();
        drop(place);
        waiting.await.expect("a place became free");
        assert_eq!(clients.len(), 0);
    }
}
