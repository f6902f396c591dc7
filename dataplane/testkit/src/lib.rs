//! What tests of several crates share: the client's side of HTTP/1.1, a PostgreSQL server,
//! PgBouncer, other programs, network namespaces with a link in them, and a bridge that makes a link a bad one. The
//! simulator's network uses the parts of that bridge for slow lines and small MTUs: [`Line`], [`hop`].
//!
//! A test that needs a link calls [`Rig::run`]: it waits for its turn (two tests with links run at a time,
//! unless one wants to be alone), reserves hugepages, makes the link with `deploy/link.sh`, runs the test on a
//! thread inside the namespace, and takes everything back, whether the test ended well or not.
//!
//! Uses none of the other crates: what tests one of them must not be built from it. Nothing here ships.
//! What a test needs and does not find (root, hugepages, a tool) fails it with the reason: a test that cannot
//! run is not a test that passed.
#![forbid(unsafe_code)]

mod bridge;
mod client;
mod flood;
mod frame;
mod hugepages;
mod pgbouncer;
mod postgres;
mod proxy;
mod response;
mod rig;
mod tool;
mod turn;

pub use bridge::{Bridge, BridgedClient, Counts, Impairment, Line, Mtu, Rate, TooBig};
pub use client::{Client, TIMEOUT};
pub use flood::{Checksums, SynFlood};
pub use frame::{Hop, fragmentation_needed, hop};
pub use hugepages::Hugepages;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use response::{Response, decoded};
pub use rig::{APPLIANCE, HOST, Kind, PORT, Rig, RigPlan};
pub use tool::{Running, Tool, script};
pub use turn::{Company, Turn};
