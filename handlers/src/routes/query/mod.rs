//! Routes that query a database: typed parameters in, a statement to run, JSON out.
//!
//! A [`Query`] is compiled once from the configuration and proven to be able to answer: each
//! placeholder has its parameter, each default is within its bounds, each head fits. It runs nothing:
//! control binds the inputs of a request, runs the statement, pushes the rows.
//!
//! ```text
//! bind(inputs) -> Bound -> arguments -> (the database) -> begin, push.., finish -> RenderedResponse
//!    |                                        |
//!    +-> RenderedResponse: 400, 404                   +-> unavailable, busy, refuse, failed
//! ```

mod bound;
mod compile;
mod compiled;
mod placeholder;
mod rows;

pub use crate::values::json::{self, ColumnError};
pub use crate::values::template::{Column, ColumnConversion};
pub use bound::Bound;
pub use compiled::Query;
pub use rows::{Row, Rows};

#[cfg(test)]
mod tests;
