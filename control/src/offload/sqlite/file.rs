//! One connection to a database file: for reading only, bounded in time and memory.
//!
//! Nothing of the file is mapped: whoever truncates a mapped file ends every process that reads it. SQLite's
//! page cache is what bounds the memory. (In WAL mode SQLite maps the `-shm` file all the same.)

use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handlers::config::{Decimal, Value};
use handlers::query::Query;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Row, ToSql, ffi};

use super::cells::places;
use super::handle::{FileHandle, Version};

/// A connection to a file.
#[derive(Debug)]
pub(crate) struct File {
    connection: Connection,
    clock: Arc<Clock>,
    /// Of the contents that were opened: SQLite may have cached any of them.
    version: Version,
    /// Whether every change since has given the file another version.
    is_settled: bool,
}

/// What stops a statement that runs too long.
#[derive(Debug)]
struct Clock {
    began: Instant,
    /// Microseconds after `began`.
    deadline: AtomicU64,
    stopping: Arc<AtomicBool>,
}

/// What an error means for the request that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// Its time is up.
    Late,
    /// Somebody else has locked the file, or changes it.
    Busy,
    /// There is no such file, or it may not be read.
    Missing,
    /// The file is empty, damaged, or cannot be read to its end.
    Damaged,
    /// The statement cannot be run: the operator's.
    Statement,
}

impl File {
    /// Opens the file that `path` names now, with at most `cache` bytes of its pages in memory.
    ///
    /// # Errors
    /// It is not there, or no database.
    pub(crate) fn open(path: &Path, cache: u64) -> Result<Self, Error> {
        let handle = FileHandle::open(path).map_err(cannot_open)?;
        let file = Self::open_handle(&handle, path, cache, &Arc::default())?;
        file.ok_or_else(|| cannot_open("it is being replaced"))
    }

    /// Opens the file of `handle` by its `path`; `None` if that names another file by now. Statements are
    /// interrupted when `stopping` is set.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_handle(
        handle: &FileHandle,
        path: &Path,
        cache: u64,
        stopping: &Arc<AtomicBool>,
    ) -> Result<Option<Self>, Error> {
        if !handle.is_at(path) {
            return Ok(None);
        }
        let version = handle.version().map_err(cannot_open)?;
        let is_settled = version.is_settled();
        if version.is_empty() {
            // To SQLite that is a database without tables.
            return Err(failure(ffi::SQLITE_NOTADB, "the file is empty"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        // Negative: in KiB, whatever the size of a page.
        let kib = i64::try_from(cache / 1024).unwrap_or(i64::MAX);
        connection.pragma_update(None, "cache_size", -kib)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let clock = Arc::new(Clock::new(Arc::clone(stopping)));
        let handler = Arc::clone(&clock);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || handler.is_up()));
        // Opening reads nothing: this does, and finds what is no database.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let file = Self { connection, clock, version, is_settled };
        Ok(handle.is_at(path).then_some(file))
    }

    /// Whether all that was read, and all that is cached, is what the file of `handle`,
    /// opened at `path`, has now.
    pub(super) fn is_unchanged(&self, handle: &FileHandle, path: &Path) -> bool {
        handle.is_still(&self.version, path)
    }

    /// Whether [`is_unchanged`](Self::is_unchanged) finds every change, however soon it came after opening.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Statements are stopped at `deadline` from now on.
    pub(super) fn set_deadline(&self, deadline: Instant) {
        self.clock.set(deadline);
    }

    /// Runs a statement; `on_row` is given each row until it wants no more.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn run(
        &self,
        query: &Query,
        arguments: &[&Value],
        mut on_row: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(query.sql())?;
        // One without a value would be NULL.
        let (has, gets) = (statement.parameter_count(), arguments.len());
        if has != gets {
            return Err(Error::InvalidParameterCount(gets, has));
        }
        for (index, value) in arguments.iter().enumerate() {
            statement.raw_bind_parameter(index + 1, Argument(value))?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if on_row(row).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What is wrong with the statement of `query`, as far as it can be known before it is run.
    pub(crate) fn problem(&self, query: &Query) -> Option<String> {
        let statement = match self.connection.prepare_cached(query.sql()) {
            Ok(statement) => statement,
            Err(error) => return Some(spell(&error)),
        };
        if !statement.readonly() {
            return Some("it writes: files of SQLite are opened for reading only".into());
        }
        places(&statement.column_names(), query.columns()).err()
    }
}

/// A value of a request as a parameter.
struct Argument<'v>(&'v Value);

impl ToSql for Argument<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Number(value) => number(value),
            Value::Boolean(value) => ValueRef::Integer((*value).into()),
            Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The nearest real; as an integer what a real would round: whole numbers beyond 2^53, as far as 64 bits
/// go. (All others are reals, so that one divided by two is a half.)
fn number(value: &Decimal) -> ValueRef<'static> {
    match value.to_i64().filter(|value| value.unsigned_abs() > REAL_EXACT_MAX) {
        Some(value) => ValueRef::Integer(value),
        None => ValueRef::Real(value.to_f64()),
    }
}

impl Clock {
    /// Statements are stopped when `stopping` is set, and at a deadline.
    fn new(stopping: Arc<AtomicBool>) -> Self {
        Self { began: Instant::now(), deadline: AtomicU64::new(u64::MAX), stopping }
    }

    fn set(&self, deadline: Instant) {
        let micros = deadline.saturating_duration_since(self.began).as_micros();
        self.deadline.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        let now = self.began.elapsed().as_micros();
        now >= u128::from(self.deadline.load(Ordering::Relaxed))
            || self.stopping.load(Ordering::Relaxed)
    }
}

impl ErrorClass {
    /// Reads an error.
    pub(super) fn of(error: &Error) -> Self {
        let Error::SqliteFailure(failure, _) = error else { return Self::Statement };
        match failure.code {
            ErrorCode::OperationInterrupted => Self::Late,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            // A journal is beside the file: of a writer that died, or of the file that has its name now.
            ErrorCode::ReadOnly if failure.extended_code == ffi::SQLITE_READONLY_ROLLBACK => {
                Self::Busy
            }
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Missing,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure => {
                Self::Damaged
            }
            _ => Self::Statement,
        }
    }
}

/// The error of a file that cannot be opened for this `problem`.
pub(super) fn cannot_open(problem: impl Display) -> Error {
    failure(ffi::SQLITE_CANTOPEN, &format!("unable to open database file: {problem}"))
}

fn failure(code: std::ffi::c_int, problem: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), Some(problem.to_owned()))
}

/// An error for the log and for `pollux check`.
pub(crate) fn spell(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// How long a statement waits for another process that writes to the file.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: std::ffi::c_int = 2000;
/// Up to here every integer is a real as well: two to the 53rd.
const REAL_EXACT_MAX: u64 = 1 << 53;
/// Prepared statements kept for a file.
const STATEMENTS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_clock_stops_at_its_deadline_or_when_everything_stops() {
        let stopping = Arc::new(AtomicBool::new(false));
        let clock = Clock::new(Arc::clone(&stopping));
        assert!(!clock.is_up());
        clock.set(Instant::now() + Duration::from_secs(60));
        assert!(!clock.is_up());
        clock.set(Instant::now());
        assert!(clock.is_up());
        clock.set(Instant::now() + Duration::from_secs(60));
        stopping.store(true, Ordering::Relaxed);
        assert!(clock.is_up());
    }

    #[test]
    fn a_number_is_a_real_unless_that_would_round_an_integer() {
        for (text, want) in [
            ("3", ValueRef::Real(3.0)),
            ("3.0", ValueRef::Real(3.0)),
            ("-0", ValueRef::Real(0.0)),
            ("0.1", ValueRef::Real(0.1)),
            ("9007199254740992", ValueRef::Real(9_007_199_254_740_992.0)),
            ("9007199254740993", ValueRef::Integer(9_007_199_254_740_993)),
            ("-9007199254740993.0", ValueRef::Integer(-9_007_199_254_740_993)),
            ("9223372036854775807", ValueRef::Integer(i64::MAX)),
            ("-9223372036854775808", ValueRef::Integer(i64::MIN)),
            ("9223372036854775808", ValueRef::Real(9_223_372_036_854_775_808.0)),
            ("1e300", ValueRef::Real(1e300)),
        ] {
            assert_eq!(number(&Decimal::parse(text).expect(text)), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_database_is_found_when_it_is_opened() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.db");
        let class = || File::open(&path, CACHE).map_err(|error| ErrorClass::of(&error)).err();
        assert_eq!(class(), Some(ErrorClass::Missing));
        fs::write(&path, "").expect("writes");
        assert_eq!(class(), Some(ErrorClass::Damaged), "it is empty");
        fs::write(&path, "this is some text, and quite a lot of it".repeat(100)).expect("writes");
        assert_eq!(class(), Some(ErrorClass::Damaged), "it is text");
        fs::remove_file(&path).expect("is there");
        database(&path);
        assert_eq!(class(), None);
    }

    #[test]
    fn a_path_that_names_another_file_opens_nothing() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (path, other) = (directory.path().join("a.db"), directory.path().join("b.db"));
        database(&path);
        let handle = FileHandle::open(&path).expect("is there");
        let open = || File::open_handle(&handle, &path, CACHE, &Arc::default());
        handle.settle();
        let file = open().expect("a database").expect("that file");
        assert!(file.is_settled() && file.is_unchanged(&handle, &path));
        fs::copy(&path, &other).expect("copies");
        fs::rename(&other, &path).expect("replaces");
        assert!(file.is_unchanged(&handle, &path), "it has lost its name and nothing else");
        assert!(open().expect("no error").is_none());
    }

    fn database(path: &Path) {
        Connection::open(path).and_then(|c| c.execute_batch("CREATE TABLE t (a)")).expect("new");
    }

    const CACHE: u64 = 1 << 20;
}
