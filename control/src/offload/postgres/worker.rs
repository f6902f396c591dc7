//! One thread that asks PostgreSQL: a tokio runtime of its own, with a pool of connections that no
//! other thread touches.

use std::io;
use std::sync::Arc;

use handlers::Site;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::pool::Pool;
use crate::offload::job::Job;
use crate::offload::threads::Threads;

/// The way to a thread with a pool.
#[derive(Debug)]
pub(super) struct PgWorker {
    orders: UnboundedSender<Order>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
enum Order {
    Run(Job),
    Renew(Arc<Site>),
    Stop,
}

impl PgWorker {
    /// Starts a thread with `pool`. It connects at once.
    ///
    /// # Errors
    /// The system has no thread or no files to give.
    pub(super) fn start(number: usize, threads: &Threads, pool: Arc<Pool>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (orders, received) = unbounded_channel();
        let worker = Self { orders, pool: Arc::clone(&pool) };
        let work = move || runtime.block_on(work(&pool, received));
        threads.start(format!("postgres-{number}"), work)?;
        Ok(worker)
    }

    /// Whether a job has a connection there, or one to hope for.
    pub(super) fn is_available(&self) -> bool {
        self.pool.is_available()
    }

    /// Runs a job. How many may wait is looked after by the caller.
    pub(super) fn run(&self, job: Job) {
        self.send(Order::Run(job));
    }

    /// Another site is served.
    pub(super) fn renew(&self, site: &Arc<Site>) {
        self.send(Order::Renew(Arc::clone(site)));
    }

    /// The thread ends its connections, then itself.
    pub(super) fn stop(&self) {
        self.send(Order::Stop);
    }

    fn send(&self, order: Order) {
        // The thread listens until it stops; after that, nobody waits for an answer.
        let _ = self.orders.send(order);
    }
}

async fn work(pool: &Arc<Pool>, mut orders: UnboundedReceiver<Order>) {
    tokio::spawn(Arc::clone(pool).tend());
    tokio::spawn(Arc::clone(pool).expire());
    while let Some(order) = orders.recv().await {
        match order {
            Order::Run(job) => pool.place(job),
            Order::Renew(site) => pool.renew(site),
            Order::Stop => break,
        }
    }
    pool.close().await;
}
