//! A statement as one connection has prepared it, and whether its columns are what routes want.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handlers::query::Column;
use tokio_postgres::Statement;

use super::cell::{Kind, Place};
use crate::offload::cache::lock;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the server knows it as.
    pub(super) statement: Statement,
    made_at: Instant,
    /// What was found out for each list of columns so far: two routes may share a statement.
    checked: Mutex<Vec<(Box<[Column]>, Compatibility)>>,
}

/// Where the columns stand, or what is wrong with them.
pub(super) type Compatibility = Result<Arc<[Place]>, Arc<str>>;

impl Prepared {
    /// A statement, not yet compared with anything.
    pub(super) fn new(statement: Statement) -> Self {
        Self { statement, made_at: Instant::now(), checked: Mutex::default() }
    }

    /// Where `columns` stand in its rows.
    pub(super) fn compatibility(&self, columns: &[Column]) -> Compatibility {
        let mut checked = lock(&self.checked);
        if let Some((_, compatibility)) = checked.iter().find(|(known, _)| **known == *columns) {
            return compatibility.clone();
        }
        let compatibility =
            places(self.statement.columns(), columns).map(Arc::from).map_err(Arc::from);
        checked.push((columns.into(), compatibility.clone()));
        compatibility
    }

    /// Where `columns` stand in rows with the columns `found`, which may be other ones by now.
    pub(super) fn compatibility_with(
        &self,
        found: &[tokio_postgres::Column],
        columns: &[Column],
    ) -> Compatibility {
        let is_same = |(a, b): (&tokio_postgres::Column, &tokio_postgres::Column)| {
            a.name() == b.name() && a.type_() == b.type_()
        };
        let prepared = self.statement.columns();
        if found.len() == prepared.len() && found.iter().zip(prepared).all(is_same) {
            return self.compatibility(columns);
        }
        places(found, columns).map(Arc::from).map_err(Arc::from)
    }

    /// Whether it was prepared so long ago that tables may have been altered since.
    pub(super) fn is_old(&self) -> bool {
        self.made_at.elapsed() > FRESH_FOR
    }
}

fn places(found: &[tokio_postgres::Column], columns: &[Column]) -> Result<Vec<Place>, String> {
    columns
        .iter()
        .map(|column| {
            let name = &*column.name;
            let index = found.iter().position(|found| found.name() == name).ok_or_else(|| {
                let names: Vec<_> = found.iter().map(tokio_postgres::Column::name).collect();
                let names = if names.is_empty() { "none".into() } else { names.join(", ") };
                format!("it has no column \"{name}\": its columns are {names}")
            })?;
            let ty = found[index].type_();
            let kind = Kind::of(ty, column.conversion).map_err(|instead| {
                let instead = instead.replace("{}", name);
                format!("column \"{name}\" is of type {ty}: write {instead} AS {name}")
            })?;
            Ok(Place { index, kind })
        })
        .collect()
}

/// What was prepared meanwhile is not prepared again because of a value or a column that does not fit.
const FRESH_FOR: Duration = Duration::from_secs(1);
