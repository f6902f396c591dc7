//! A route that a database answers as slowly as one likes: `/count?to=N` counts to N.

use std::path::Path;

/// What the statement does.
const COUNT: &str = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers \
                     WHERE i < ?1) SELECT count(*) AS n FROM numbers";

/// Makes its empty database in `directory`, if need be, and returns the part of a configuration with that data
/// directory: a statement and the route, which answers `{"WORD": N}`. Routes may follow it, sections may not.
pub(crate) fn counting_route(directory: &Path, word: &str) -> String {
    let database = directory.join("empty.db");
    if !database.exists() {
        let connection = rusqlite::Connection::open(&database).expect("writable");
        connection.execute_batch("CREATE TABLE shelf (place INTEGER)").expect("is SQL");
    }
    format!(
        "[statements]\ncount = \"{COUNT}\"\n\
         [[route]]\npath = \"/count\"\nkind = \"sqlite\"\ndatabase = \"empty.db\"\n\
         statement = \"count\"\narguments = [\"to\"]\nrow = '{{\"{word}\": n}}'\n\
         [route.parameters]\nto = {{ from = \"query\", type = \"integer\" }}\n"
    )
}
