//! When responses of a route are compressed, and how.

use handlers::config::Compress;
use http1::coding::Coding;

use super::table::{Field, Table};
use crate::config::diagnostics::Reported;

/// Keys `compress` and `codings`.
pub(super) fn read(table: &Table<'_>) -> Result<Compress, Reported> {
    let codings = table.field("codings").map(read_codings);
    let Some(field) = table.field("compress") else {
        return match table.field("codings") {
            None => Ok(Compress::Off),
            Some(codings) => Err(codings.refuse(
                "nothing is compressed",
                "add compress = \"precomputed\" or \"per-request\", or take it out",
            )),
        };
    };
    let words = [("off", When::Off), ("precomputed", When::Once), ("per-request", When::Each)];
    let when = field.choice(&words);
    let codings = codings.unwrap_or_else(|| Ok(vec![Coding::Br, Coding::Gzip]))?;
    Ok(match when? {
        When::Off => Compress::Off,
        When::Once => Compress::Precomputed(codings),
        When::Each => Compress::PerRequest(codings),
    })
}

/// When a response is compressed.
#[derive(Clone, Copy)]
enum When {
    Off,
    Once,
    Each,
}

fn read_codings(field: &Field<'_>) -> Result<Vec<Coding>, Reported> {
    let mut codings = Vec::new();
    for item in field.list()? {
        let coding = item.choice(&[("br", Coding::Br), ("gzip", Coding::Gzip)])?;
        if codings.contains(&coding) {
            return Err(item.refuse("is there twice", "take one out"));
        }
        codings.push(coding);
    }
    if codings.is_empty() {
        return Err(
            field.refuse("no coding", "write codings = [\"br\", \"gzip\"], or leave it out")
        );
    }
    Ok(codings)
}
