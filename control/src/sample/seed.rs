//! `seed.sql`: the rows of the sample for PostgreSQL, to be run by `psql --file seed.sql`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use handlers::sample::Item;

use super::error::SampleError;
use super::modified::set_modified;

/// Writes the script.
///
/// # Errors
/// The file system refuses.
pub(super) fn write(path: &Path) -> Result<(), SampleError> {
    script(path).map_err(SampleError::write(path))
}

fn script(path: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(OPEN.as_bytes())?;
    for row in handlers::sample::rows() {
        // Words and numbers: nothing that COPY reads as more than itself.
        let tags = row.tags_json();
        let active = if row.active { 't' } else { 'f' };
        let Item { id, name, category, price, quantity, .. } = row;
        let (score, count) = (row.rating_score, row.rating_count);
        writeln!(
            out,
            "{id}\t{name}\t{category}\t{price}\t{quantity}\t{active}\t{tags}\t{score}\t{count}"
        )?;
    }
    out.write_all(CLOSE.as_bytes())?;
    set_modified(&out.into_inner()?)
}

/// All or nothing: whoever reads the table meanwhile sees the old one.
const OPEN: &str = "\
-- Table `items` of the Pollux sample, for PostgreSQL: psql --file seed.sql
\\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
DROP TABLE IF EXISTS items;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    name TEXT,
    category TEXT,
    price INTEGER,
    quantity INTEGER,
    active BOOLEAN,
    tags JSONB,
    rating_score INTEGER,
    rating_count INTEGER
);
COPY items FROM stdin;
";
const CLOSE: &str = "\\.
COMMIT;
ANALYZE items;
";
