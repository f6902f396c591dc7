//! One database file as one thread has it open: for reading only, mapped into memory, bounded in time.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handlers::config::Value;
use handlers::query::Query;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Row, ToSql};

use super::cells::places;

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    connection: Connection,
    /// None: it was gone again when it was open.
    identity: Option<Identity>,
}

/// What stops a statement that runs too long.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// Microseconds after `began`.
    deadline: AtomicU64,
    stopping: Arc<AtomicBool>,
}

/// Tells a file from another one with the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// What an error means for the request that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// Its time is up.
    Late,
    /// Somebody else has locked the file.
    Busy,
    /// There is no such file, or it may not be read.
    Missing,
    /// The file is damaged, or cannot be read to its end.
    Damaged,
    /// The statement cannot be run: the operator's.
    Statement,
}

impl File {
    /// Opens `path` for reading, with at most `mmap` bytes of it mapped.
    ///
    /// # Errors
    /// It is not there, or no database.
    pub(crate) fn open(path: &Path, mmap: u64, clock: Arc<Clock>) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        // Larger than SQLite was built for is cut to what it was built for.
        connection.pragma_update(None, "mmap_size", i64::try_from(mmap).unwrap_or(i64::MAX))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || clock.is_up()));
        // Opening reads nothing: this does, and finds what is no database.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(Self { connection, identity: Identity::of(path) })
    }

    /// Whether `path` is still this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.identity.is_some() && Identity::of(path) == self.identity
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
            Value::Number(value) => ValueRef::Real(*value),
            Value::Boolean(value) => ValueRef::Integer((*value).into()),
            Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl Clock {
    /// Statements are stopped when `stopping` is set, and at a deadline.
    pub(crate) fn new(stopping: Arc<AtomicBool>) -> Self {
        Self { began: Instant::now(), deadline: AtomicU64::new(u64::MAX), stopping }
    }

    /// Statements are stopped at `deadline` from now on.
    pub(super) fn set(&self, deadline: Instant) {
        let micros = deadline.saturating_duration_since(self.began).as_micros();
        self.deadline.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        let now = self.began.elapsed().as_micros();
        now >= u128::from(self.deadline.load(Ordering::Relaxed))
            || self.stopping.load(Ordering::Relaxed)
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl ErrorClass {
    /// Reads an error.
    pub(super) fn of(error: &Error) -> Self {
        let Error::SqliteFailure(failure, _) = error else { return Self::Statement };
        match failure.code {
            ErrorCode::OperationInterrupted => Self::Late,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Missing,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure => {
                Self::Damaged
            }
            _ => Self::Statement,
        }
    }
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
/// Prepared statements kept for a file.
const STATEMENTS_MAX: usize = 128;

#[cfg(test)]
mod tests {
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
    fn what_is_no_database_is_found_when_it_is_opened() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.db");
        let open = || File::open(&path, 0, Arc::new(Clock::new(Arc::default())));
        assert_eq!(ErrorClass::of(&open().expect_err("there is none")), ErrorClass::Missing);
        fs::write(&path, "this is some text, and quite a lot of it".repeat(100)).expect("writes");
        assert_eq!(ErrorClass::of(&open().expect_err("is text")), ErrorClass::Damaged);
        fs::remove_file(&path).expect("is there");
        Connection::open(&path).and_then(|c| c.execute_batch("CREATE TABLE t (a)")).expect("new");
        let file = open().expect("a database");
        assert!(file.is_at(&path));
        let other = directory.path().join("b.db");
        fs::copy(&path, &other).expect("copies");
        fs::rename(&other, &path).expect("replaces");
        assert!(!file.is_at(&path), "another file of the same name");
    }
}
