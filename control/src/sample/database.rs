//! `benchmark.db`: the rows of the sample as an SQLite file.
//!
//! Its bytes depend on nothing but the release: fixed page size, one transaction into a new file. It
//! is left in the mode without a log beside it, so that a reader needs no right but to read.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use handlers::sample::Item;
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::error::SampleError;
use super::modified::set_modified;

/// Writes the file; what was there is replaced.
///
/// # Errors
/// The file system or SQLite refuses.
pub(super) fn write(path: &Path) -> Result<(), SampleError> {
    // Whatever is there may have other pages, other tables, and files of its own beside it.
    for ending in ["", "-journal", "-wal", "-shm"] {
        let mut old = path.as_os_str().to_owned();
        old.push(ending);
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SampleError::write(Path::new(&old))(error));
            }
            _ => {}
        }
    }
    fill(path).map_err(|error| SampleError::Database { path: path.to_owned(), error })?;
    let file = File::options().write(true).open(path).map_err(SampleError::write(path))?;
    set_modified(&file).map_err(SampleError::write(path))
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // Nothing to roll back to and nothing to lose: who is interrupted starts again.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
    ))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLE)?;
    insert(&transaction)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

fn insert(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for row in handlers::sample::rows() {
        let tags = row.tags_json();
        let Item { id, name, category, price, quantity, active, .. } = row;
        let (score, count) = (row.rating_score, row.rating_count);
        statement
            .execute(params![id, name, category, price, quantity, active, tags, score, count])?;
    }
    Ok(())
}

/// As the workload has it: no index but that of the key.
const TABLE: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, category TEXT, \
     price REAL, quantity INTEGER, active INTEGER, tags TEXT, rating_score REAL, rating_count INTEGER)";
/// Bytes of a page.
const PAGE: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_every_row_and_needs_no_file_beside_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("benchmark.db");
        for ending in ["", "-wal", "-shm"] {
            fs::write(directory.path().join(format!("benchmark.db{ending}")), "old")
                .expect("writes");
        }
        write(&path).expect("writes");
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("opens for reading");
        let mut statement = connection.prepare("SELECT * FROM items ORDER BY id").expect("table");
        let mut read = statement.query([]).expect("rows");
        let mut count = 0;
        for made in handlers::sample::rows() {
            let row = read.next().expect("readable").expect("one more");
            let number = |column: &str| row.get::<_, f64>(column).expect("REAL");
            let read = Item {
                id: row.get("id").expect("INTEGER"),
                name: row.get("name").expect("TEXT"),
                active: row.get("active").expect("INTEGER"),
                quantity: row.get("quantity").expect("INTEGER"),
                rating_count: row.get("rating_count").expect("INTEGER"),
                ..made.clone()
            };
            assert_eq!(read, made);
            assert_eq!(row.get::<_, String>("category").expect("TEXT"), made.category);
            assert_eq!(row.get::<_, String>("tags").expect("TEXT"), made.tags_json());
            assert_eq!(number("price"), f64::from(made.price));
            assert_eq!(number("rating_score"), f64::from(made.rating_score));
            count += 1;
        }
        assert!(read.next().expect("readable").is_none());
        assert_eq!(count, 100_000);
        let entries = fs::read_dir(directory.path()).expect("readable");
        assert_eq!(entries.count(), 1, "no log and no journal");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = write(Path::new("/nonexistent/data/benchmark.db")).expect_err("cannot be");
        let message = error.to_string();
        assert!(message.starts_with("/nonexistent/data/benchmark.db: cannot be written: "));
    }
}
