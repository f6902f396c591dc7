//! One thread that queries PostgreSQL: a tokio runtime of its own, with a pool of connections that no
//! other thread touches.

use std::io;
use std::sync::Arc;

use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::pool::Pool;
use super::workers::{Order, WorkerHandle};
use crate::offload::threads::Threads;

/// Starts a thread with `pool`. It connects at once.
///
/// # Errors
/// The system has no thread or no files to give.
pub(super) fn start(number: usize, threads: &Threads, pool: Arc<Pool>) -> io::Result<WorkerHandle> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (orders, received) = unbounded_channel();
    let handle = WorkerHandle { orders, is_available: pool.availability() };
    let work = move || runtime.block_on(work(&pool, received));
    threads.start(format!("postgres-{number}"), work)?;
    Ok(handle)
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
