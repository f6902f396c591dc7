//! Values that stand in requests and responses: typed parameters, JSON, and templates of JSON bodies.

pub(crate) mod bounds;
pub(crate) mod decimal;
pub mod json;
mod number;
pub(crate) mod pairs;
pub(crate) mod parameter;
pub(crate) mod template;
pub(crate) mod words;
