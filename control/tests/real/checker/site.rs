//! What is served, edition by edition: a configuration, a SQLite file and a static file that all say which one
//! they belong to, and what each of them says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use testkit::Postgres;

/// Rows of the PostgreSQL table that is written to.
pub(super) const ITEMS: usize = 96;
/// One row more, a write to which takes [`LINGER`].
pub(super) const LINGERING: usize = ITEMS;
/// Long enough for connections to be made anew, and for reads over them.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// Rows of the SQLite file.
pub(super) const CELLS: u64 = 400;
/// Those that a smaller file has.
pub(super) const FEWER_CELLS: u64 = 10;
/// How long what `/hot` says is cached, in ms.
pub(super) const HOT_MS: u128 = 100;
/// The least value of a parameter with a bound: one more and one less are the same 64-bit float, or its neighbour's.
pub(super) const LEAST: i64 = 9_007_199_254_740_993;
/// Length of the static file in bytes.
pub(super) const PAGE: usize = 40_000;

/// The operator's files.
#[derive(Debug)]
pub(super) struct Site {
    scratch: PathBuf,
}

impl Site {
    /// In this directory; nothing is in it yet.
    pub(super) fn new(scratch: &Path) -> Self {
        Self { scratch: scratch.to_owned() }
    }

    /// The configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.scratch.join("pollux.toml")
    }

    /// The SQLite file that is served.
    pub(super) fn database(&self) -> PathBuf {
        self.scratch.join("cells.db")
    }

    /// Puts everything of `edition` where the server reads it at its next reload, each file whole.
    pub(super) fn publish(&self, edition: u64) {
        let directory = self.scratch.join(format!("static-{edition}"));
        fs::create_dir_all(&directory).expect("a directory of ours");
        fs::write(directory.join("page.bin"), page(edition)).expect("writable");
        self.publish_database(edition);
        let fresh = self.scratch.join("pollux.toml.new");
        fs::write(&fresh, self.text(edition)).expect("writable");
        fs::rename(&fresh, self.config()).expect("the same directory");
        if let Some(gone) = edition.checked_sub(3) {
            // Nobody is to be served from what two reloads have replaced.
            fs::remove_dir_all(self.scratch.join(format!("static-{gone}"))).ok();
        }
    }

    /// Puts the SQLite file of `edition` over the one that is there.
    pub(super) fn publish_database(&self, edition: u64) {
        let fresh = self.scratch.join("cells.db.new");
        fs::remove_file(&fresh).ok();
        self.write_database(&fresh, edition, CELLS);
        fs::rename(&fresh, self.database()).expect("the same directory");
    }

    /// Writes a SQLite file of `edition` with the first `cells` of its rows.
    pub(super) fn write_database(&self, path: &Path, edition: u64, cells: u64) {
        let mut connection = Connection::open(path).expect("a new file");
        let column = column(edition);
        let table = format!(
            "CREATE TABLE cells (id INTEGER PRIMARY KEY, {column} TEXT NOT NULL, edition INTEGER NOT NULL)"
        );
        connection.execute(&table, []).expect("a new table");
        let rows = connection.transaction().expect("nobody else has it");
        for id in 0..cells {
            let row = (id, cell(id, edition), edition);
            rows.execute("INSERT INTO cells VALUES (?1, ?2, ?3)", row).expect("a new row");
        }
        rows.commit().expect("writable");
    }

    fn text(&self, edition: u64) -> String {
        let (data, column) = (self.scratch.display(), column(edition));
        let cell = format!(
            "SELECT id, {column} AS value, edition, {edition} AS configured FROM cells WHERE id = ?1"
        );
        let cells = r#"kind = "sqlite"
database = "cells.db"
statement = "cell"
arguments = ["id"]
row = """{"id": id, "value": value, "edition": edition, "configured": configured}"""
parameters = { id = { from = "path", type = "integer" } }"#;
        let items = r#"kind = "postgres"
statement = "item"
arguments = ["id"]
row = """{"id": id, "version": version, "body": body}"""
parameters = { id = { from = "path", type = "integer" } }"#;
        let hot = r#"kind = "postgres"
row = """{"runs": runs}""""#;
        let tokens = r#"kind = "postgres"
statement = "token"
arguments = ["token"]
row = """{"token": token}"""
parameters = { token = { from = "path", type = "integer" } }"#;
        format!(
            r#"[data]
directory = "{data}"

[deadlines]
response = "2500ms"

[postgres]
connections = 6
timeout = "2s"

[statements]
cell = "{cell}"
item = "SELECT id, version, body FROM items WHERE id = $1"
item_write = "{ITEM_WRITE}"
token = "INSERT INTO tokens VALUES ($1) RETURNING token"
numbers = "SELECT $1::bigint AS integer, $2::numeric AS number, $3::bigint AS bounded, 'infinity'::float8 AS infinite"
measure = "INSERT INTO measures VALUES ($1, $2, $3) RETURNING id::bigint, at::text, f::text"
hot = "SELECT run() AS runs"
slow = "SELECT slow() AS runs"

[[route]]
path = "/edition"
kind = "fixed"
type = "text/plain"
body = "{edition}"

[[route]]
path = "/static/"
kind = "files"
directory = "static-{edition}"

[[route]]
path = "/cells/{{id}}"
cache = "1h"
{cells}

[[route]]
path = "/uncached/cells/{{id}}"
{cells}

[[route]]
path = "/items/{{id}}"
name = "item"
cache = "1h"
{items}

[[route]]
path = "/uncached/items/{{id}}"
{items}

[[route]]
path = "/items/{{id}}"
methods = ["PUT"]
kind = "postgres"
statement = "item_write"
arguments = ["id", "version", "body"]
row = """{{"id": id, "version": version, "body": body}}"""
invalidates = ["item"]

[route.parameters]
id = {{ from = "path", type = "integer" }}
version = {{ from = "body", type = "integer" }}
body = {{ from = "body", type = "text" }}

[[route]]
path = "/tokens/{{token}}"
methods = ["POST"]
status = 201
{tokens}

[[route]]
path = "/tokens/{{token}}"
writes = true
{tokens}

[[route]]
path = "/numbers"
kind = "postgres"
statement = "numbers"
arguments = ["integer", "number", "bounded"]
row = """{{"integer": integer, "number": number, "bounded": bounded, "infinite": infinite}}"""

[route.parameters]
integer = {{ from = "query", type = "integer" }}
number = {{ from = "query", type = "number" }}
bounded = {{ from = "query", type = "integer", bounds = [{LEAST}, inf] }}

[[route]]
path = "/measures"
methods = ["POST"]
status = 201
kind = "postgres"
statement = "measure"
arguments = ["id", "at", "f"]
row = """{{"id": id, "at": at, "f": f}}"""

[route.parameters]
id = {{ from = "body", type = "integer" }}
at = {{ from = "body", type = "text" }}
f = {{ from = "body", type = "number" }}

[[route]]
path = "/hot"
cache = "{HOT_MS}ms"
statement = "hot"
{hot}

[[route]]
path = "/slow"
statement = "slow"
{hot}
"#
        )
    }
}

/// A write that comes late, after its client has given up and written again, changes nothing.
const ITEM_WRITE: &str = "UPDATE items SET version = $2, body = $3 WHERE id = $1 AND version < $2 \
                          RETURNING id, version, body";

/// Whether the columns of `measures` are the wider ones after so many changes.
pub(super) fn are_wide(change: u64) -> bool {
    !change.is_multiple_of(2)
}

/// Changes the types of the columns of `measures` for the `change`th time.
pub(super) fn retype(change: u64) -> &'static str {
    if are_wide(change) {
        "ALTER TABLE measures ALTER id TYPE bigint, ALTER at TYPE timestamp, ALTER f TYPE float8"
    } else {
        "TRUNCATE measures; \
         ALTER TABLE measures ALTER id TYPE integer, ALTER at TYPE date, ALTER f TYPE float4"
    }
}

/// What reads, by its plan and by what it says of itself, and counts all the same; and writes that take their time,
/// so that some lose their connection before they are done, those of [`LINGERING`] long before.
const FUNCTIONS: &str = "CREATE SEQUENCE runs;
    CREATE FUNCTION run() RETURNS bigint STABLE LANGUAGE plpgsql AS
    $$ BEGIN RETURN nextval('runs'); END $$;
    CREATE FUNCTION slow() RETURNS bigint STABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(4); RETURN 0; END $$;
    CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF NEW.id = TG_ARGV[0]::integer THEN PERFORM pg_sleep(TG_ARGV[1]::float8);
        ELSIF NEW.version % 4 = 0 THEN PERFORM pg_sleep(0.03); END IF;
        RETURN NEW;
    END $$";

/// Makes the tables, all items at version 0.
pub(super) fn seed(postgres: &Postgres) {
    postgres.query(FUNCTIONS);
    postgres.query("CREATE TABLE measures (id integer, at date, f float4)");
    postgres.query(
        "CREATE TABLE items (id integer PRIMARY KEY, version bigint NOT NULL, body text NOT NULL)",
    );
    postgres.query(&format!(
        "CREATE TRIGGER linger BEFORE UPDATE ON items FOR EACH ROW \
         EXECUTE FUNCTION linger({LINGERING}, {})",
        LINGER.as_secs_f64()
    ));
    postgres.query("CREATE TABLE tokens (token bigint NOT NULL)");
    let rows: Vec<_> = (0..=LINGERING).map(|id| format!("({id}, 0, '{}')", item(id, 0))).collect();
    postgres.query(&format!("INSERT INTO items VALUES {}", rows.join(", ")));
}

/// What an item says at a version.
pub(super) fn item(id: usize, version: u64) -> String {
    format!("item {id} version {version} {:016x}", mix(id as u64, version))
}

/// What a row of the SQLite file says in an edition.
pub(super) fn cell(id: u64, edition: u64) -> String {
    format!("cell {id} edition {edition} {:016x}", mix(id, edition))
}

/// The static file of an edition: lines of equal length, each with its number.
pub(super) fn page(edition: u64) -> Vec<u8> {
    let lines = (0..).flat_map(|line| {
        format!("{edition:08} {line:08} {:016x}\n", mix(edition, line)).into_bytes()
    });
    lines.take(PAGE).collect()
}

/// A column's name changes with the edition: a statement of one fails on the file of the other.
fn column(edition: u64) -> &'static str {
    if edition.is_multiple_of(2) { "even" } else { "odd" }
}

/// Any function by which two arguments are known: the finaliser of SplitMix64.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
