//! The workload of `deploy/arena.toml`, row by row, as a client sees it.
//!
//! Every answer is compared with what the test itself makes of the data: the JSON files, the SQLite
//! file and PostgreSQL, read by the test. [`Visitor`] asks, and checks what holds for all answers;
//! [`Shop`] is what there is to know; the other files hold the checks, one for each part of the
//! workload.

mod coding;
mod crud;
mod dataset;
mod files;
mod methods;
mod rows;
mod shop;
mod texts;
mod visitor;

pub(crate) use crud::Crud;
pub(crate) use dataset::{codings_of_items, compression, every_pair, random_pairs, whole};
pub(crate) use files::{media_type, missing_files, static_files};
pub(crate) use methods::{heads, methods, unknown_paths};
pub(crate) use rows::{Table, malformed_rows, rows};
pub(crate) use shop::{Shop, difference, same, with_totals};
pub(crate) use texts::{caching, index, pipeline, sums, uploads};
pub(crate) use visitor::{Request, Visitor};
