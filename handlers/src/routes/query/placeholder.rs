//! Placeholders of a statement: `$1` for PostgreSQL, `?1` for SQLite.
//!
//! Knows as much of SQL as it takes to tell a placeholder from what looks like one in a string, a
//! quoted name or a comment, and nothing more: whether it is a statement the database says.

use std::collections::BTreeSet;

use crate::config::Database;

/// Why the placeholders of a statement cannot be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaceholderError {
    /// What is wrong.
    pub(crate) problem: String,
    /// What to write instead.
    pub(crate) fix: &'static str,
}

/// The numbers of all placeholders of `sql`.
pub(crate) fn numbers(sql: &str, database: &Database) -> Result<BTreeSet<usize>, PlaceholderError> {
    let dialect = match database {
        Database::Postgres => Dialect::Postgres,
        Database::Sqlite(_) => Dialect::Sqlite,
    };
    let mut scanner = Scanner { rest: sql.as_bytes(), dialect, found: BTreeSet::new() };
    while let Some(&byte) = scanner.rest.first() {
        scanner.step(byte)?;
    }
    Ok(scanner.found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Postgres,
    Sqlite,
}

struct Scanner<'s> {
    rest: &'s [u8],
    dialect: Dialect,
    found: BTreeSet<usize>,
}

impl<'s> Scanner<'s> {
    /// Takes one token, or one byte of what does not matter.
    fn step(&mut self, byte: u8) -> Result<(), PlaceholderError> {
        let next = self.rest.get(1).copied().unwrap_or(b' ');
        match (byte, self.dialect) {
            (b'\'' | b'"', _) => self.quoted(byte),
            (b'`', Dialect::Sqlite) => self.quoted(b'`'),
            (b'[', Dialect::Sqlite) => self.until(b"]", "a name in brackets has no end"),
            (b'-', _) if next == b'-' => {
                self.run(|byte| byte != b'\n');
                Ok(())
            }
            (b'/', _) if next == b'*' => self.comment(),
            (b'e' | b'E', Dialect::Postgres) if next == b'\'' => self.escaped(),
            (b'$', Dialect::Postgres) if next.is_ascii_digit() => self.placeholder(),
            (b'$', Dialect::Postgres) => self.dollar_quoted(),
            (b'?', Dialect::Sqlite) => self.placeholder(),
            (b':' | b'@' | b'$', Dialect::Sqlite) if in_word(next) => {
                self.skip(1);
                let name = format!("{}{}", char::from(byte), show(self.run(in_word)));
                Err(error(format!("a placeholder {name} has a name"), SQLITE_FIX))
            }
            _ if in_word(byte) => {
                // A `$` within a name, as in `a$1`, belongs to it.
                self.run(|byte| in_word(byte) || byte == b'$');
                Ok(())
            }
            _ => {
                self.skip(1);
                Ok(())
            }
        }
    }

    /// `?1` or `$1`, the mark being the next byte.
    fn placeholder(&mut self) -> Result<(), PlaceholderError> {
        let mark = char::from(self.rest[0]);
        self.skip(1);
        let digits = self.run(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if number >= 1 => {
                self.found.insert(number);
                Ok(())
            }
            _ => {
                let problem = format!("a placeholder {mark}{} has no number from 1", show(digits));
                let fix = if mark == '?' { SQLITE_FIX } else { POSTGRES_FIX };
                Err(error(problem, fix))
            }
        }
    }

    /// A string or a name in quotes. A doubled quote within ends one and begins the next, which is
    /// the same here.
    fn quoted(&mut self, quote: u8) -> Result<(), PlaceholderError> {
        self.skip(1);
        self.until(&[quote], "a quote has no end")
    }

    /// `E'..'`, where a backslash takes the next byte with it.
    fn escaped(&mut self) -> Result<(), PlaceholderError> {
        self.skip(2);
        loop {
            self.run(|byte| !matches!(byte, b'\'' | b'\\'));
            match self.rest.first() {
                Some(b'\\') => self.skip(2),
                Some(_) => {
                    self.skip(1);
                    return Ok(());
                }
                None => return Err(error("a quote has no end", "close it")),
            }
        }
    }

    /// `$$..$$` or `$tag$..$tag$`; any other `$` means nothing.
    fn dollar_quoted(&mut self) -> Result<(), PlaceholderError> {
        let len = 1 + self.rest[1..].iter().take_while(|&&byte| in_word(byte)).count();
        if self.rest.get(len) != Some(&b'$') {
            self.skip(1);
            return Ok(());
        }
        let tag = &self.rest[..=len];
        self.skip(tag.len());
        self.until(tag, "a dollar quote has no end")
    }

    /// `/* .. */`; PostgreSQL nests them.
    fn comment(&mut self) -> Result<(), PlaceholderError> {
        self.skip(2);
        let mut depth = 1;
        while depth > 0 {
            match self.rest {
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.skip(2);
                }
                [b'/', b'*', ..] if self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.skip(2);
                }
                [_, ..] => self.skip(1),
                [] => return Err(error("a comment has no end", "close it with */")),
            }
        }
        Ok(())
    }

    /// Goes on behind the next `mark`.
    fn until(&mut self, mark: &[u8], problem: &str) -> Result<(), PlaceholderError> {
        let at = self.rest.windows(mark.len()).position(|window| window == mark);
        let at = at.ok_or_else(|| error(problem, "close it"))?;
        self.skip(at + mark.len());
        Ok(())
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'s [u8] {
        let len = self.rest.iter().take_while(|&&byte| belongs(byte)).count();
        let (run, rest) = self.rest.split_at(len);
        self.rest = rest;
        run
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn error(problem: impl Into<String>, fix: &'static str) -> PlaceholderError {
    PlaceholderError { problem: problem.into(), fix }
}

fn show(bytes: &[u8]) -> String {
    crate::values::words::shown(&String::from_utf8_lossy(bytes))
}

const SQLITE_FIX: &str = "write ?1 for the first argument, ?2 for the second";
const POSTGRES_FIX: &str = "write $1 for the first argument, $2 for the second";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn postgres(sql: &str) -> Result<Vec<usize>, String> {
        found(sql, &Database::Postgres)
    }

    fn sqlite(sql: &str) -> Result<Vec<usize>, String> {
        found(sql, &Database::Sqlite("a.db".into()))
    }

    fn found(sql: &str, database: &Database) -> Result<Vec<usize>, String> {
        numbers(sql, database)
            .map(|numbers| numbers.into_iter().collect())
            .map_err(|error| format!("{}; {}", error.problem, error.fix))
    }

    #[test]
    fn placeholders_of_postgres_are_numbered_dollars() {
        for (sql, want) in [
            ("SELECT 1", vec![]),
            ("SELECT $1, $12::int[], ARRAY[$2], x->$3 ? 'a' AND $1", vec![1, 2, 3, 12]),
            ("SELECT '$1', 'it''s $2', \"$3\", \"a\"\"$4\", $5", vec![5]),
            (r"SELECT E'\'$1', e'\\', '\', $2", vec![2]),
            ("SELECT a$1, _$2, ü$3, $4 -- $5\n, $6 /* $7 /* $8 */ $9 */ - $10", vec![4, 6, 10]),
            ("SELECT $$ $1 $$, $t$ $$ $2 $t$, $u $, $3", vec![3]),
            ("SELECT 1$1", vec![]),
            ("SELECT - -$1/2*$2", vec![1, 2]),
            ("SELECT 1 --", vec![]),
        ] {
            assert_eq!(postgres(sql), Ok(want), "{sql}");
        }
    }

    #[test]
    fn placeholders_of_sqlite_are_numbered_question_marks() {
        for (sql, want) in [
            ("SELECT ?1 + ?2, ?1", vec![1, 2]),
            ("SELECT '?1', \"?2\", `?3`, [?4], ?5 /* /* ?6 */ - ?7 -- ?8", vec![5, 7]),
            ("SELECT e'\\', ?1", vec![1]),
        ] {
            assert_eq!(sqlite(sql), Ok(want), "{sql}");
        }
    }

    #[test]
    fn what_is_unclear_is_refused_with_a_fix() {
        for (result, want) in [
            (sqlite("SELECT ?"), "a placeholder ? has no number from 1; write ?1 for"),
            (sqlite("SELECT ?0"), "a placeholder ?0 has no number from 1; write ?1 for"),
            (sqlite("SELECT :min, 1"), "a placeholder :min has a name; write ?1 for"),
            (sqlite("SELECT $1"), "a placeholder $1 has a name; write ?1 for"),
            (sqlite("SELECT [a"), "a name in brackets has no end; close it"),
            (postgres("SELECT $0"), "a placeholder $0 has no number from 1; write $1 for"),
            (postgres("SELECT 'a''"), "a quote has no end; close it"),
            (postgres("SELECT E'a\\'"), "a quote has no end; close it"),
            (postgres("SELECT E'a\\"), "a quote has no end; close it"),
            (postgres("SELECT $a$ $$"), "a dollar quote has no end; close it"),
            (postgres("/* /* */"), "a comment has no end; close it with */"),
        ] {
            let found = result.expect_err(want);
            assert!(found.starts_with(want), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_leads_astray(sql in "[ae$?:@'\"`\\[\\]/*\\\\1 \nü-]{0,40}") {
            for result in [postgres(&sql), sqlite(&sql)] {
                if let Err(error) = result {
                    prop_assert!(error.contains("; "), "{}", error);
                }
            }
        }

        #[test]
        fn a_placeholder_is_found_behind_any_literal(text in "[^']{0,20}", number in 1_usize..100) {
            let literal = format!("'{text}'");
            let sql = format!("SELECT {literal}, ${number}");
            prop_assert_eq!(postgres(&sql), Ok(vec![number]));
            let sql = format!("SELECT {literal}, ?{number}");
            prop_assert_eq!(sqlite(&sql), Ok(vec![number]));
        }
    }
}
