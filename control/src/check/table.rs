//! Routes as a table: methods, path, kind, codings, cache.

use handlers::config::{Compress, FilesConfig, Kind};
use http1::coding::Coding;

use crate::config::{RouteEntry, method_names, spell_time};

/// One line for each route, below a line of titles.
pub(super) fn of(entries: &[RouteEntry]) -> Vec<String> {
    let titles = ["METHODS", "PATH", "KIND", "CODINGS", "CACHE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(titles).chain(entries.iter().map(row)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(entry: &RouteEntry) -> [String; 5] {
    let plan = &entry.plan;
    [
        method_names(plan.methods),
        plan.path.clone(),
        entry.kind().into(),
        codings(&plan.compress, &plan.kind),
        cache(&plan.kind),
    ]
}

fn codings(compress: &Compress, kind: &Kind) -> String {
    let names = |codings: &[Coding]| {
        codings.iter().map(|coding| coding.name()).collect::<Vec<_>>().join(",")
    };
    match (compress, kind) {
        (Compress::Off, Kind::Files(_)) => "as on disk".into(),
        (Compress::Off, _) => NOTHING.into(),
        (Compress::Precomputed(codings), _) => names(codings),
        (Compress::PerRequest(codings), _) => format!("{} per request", names(codings)),
    }
}

fn cache(kind: &Kind) -> String {
    match kind {
        Kind::Query(query) => match &query.cache {
            Some(cache) => format!("{}, {}", spell_time(cache.lifetime), cache.header),
            None => NOTHING.into(),
        },
        Kind::Files(FilesConfig { cache_control: Some(value), .. }) => value.clone(),
        _ => NOTHING.into(),
    }
}

const NOTHING: &str = "-";
