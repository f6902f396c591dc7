//! What an error of PostgreSQL means for the request that met it.

use std::io;

use tokio_postgres::Error;

/// Who can mend it, and what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The connection is gone; what became of the statement is not known.
    Lost,
    /// The statement was cancelled or rolled back without having done anything: it may be sent again.
    Undone,
    /// What was prepared is not valid any more: a table was altered.
    Stale,
    /// The server has no room at the moment.
    Full,
    /// A unique or foreign key says no.
    Conflict,
    /// What the client sent is not what the table takes.
    BadData,
    /// The statement cannot be run: the operator's.
    Statement,
}

impl ErrorClass {
    /// Reads an error.
    pub(super) fn of(error: &Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            let broken =
                std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>());
            return if error.is_closed() || broken { Self::Lost } else { Self::Statement };
        };
        Self::of_state(refusal.code().code())
    }

    /// By SQLSTATE: PostgreSQL's manual, appendix A.
    fn of_state(state: &str) -> Self {
        match state {
            // query_canceled, serialization_failure, deadlock_detected
            "57014" | "40001" | "40P01" => Self::Undone,
            // feature_not_supported: "cached plan must not change result type";
            // invalid_sql_statement_name: something on the way has forgotten what was prepared.
            "0A000" | "26000" => Self::Stale,
            // foreign_key_violation, unique_violation, exclusion_violation
            "23503" | "23505" | "23P01" => Self::Conflict,
            // not_null_violation, check_violation
            "23502" | "23514" => Self::BadData,
            _ => match &state[..2] {
                "22" => Self::BadData,
                "53" => Self::Full,
                // The server ends the connection (57P..) or has lost it (08...).
                "08" | "57" => Self::Lost,
                _ => Self::Statement,
            },
        }
    }
}

/// An error for the log: SQLSTATE and message, never the values.
pub(super) fn spell(error: &Error) -> String {
    match error.as_db_error() {
        Some(refusal) => format!("{}: {}", refusal.code().code(), refusal.message()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_who_can_mend_it() {
        for (state, class) in [
            ("23505", ErrorClass::Conflict),
            ("23503", ErrorClass::Conflict),
            ("23514", ErrorClass::BadData),
            ("22P02", ErrorClass::BadData),
            ("22003", ErrorClass::BadData),
            ("57014", ErrorClass::Undone),
            ("40P01", ErrorClass::Undone),
            ("57P01", ErrorClass::Lost),
            ("08006", ErrorClass::Lost),
            ("53300", ErrorClass::Full),
            ("0A000", ErrorClass::Stale),
            ("42P01", ErrorClass::Statement),
            ("42501", ErrorClass::Statement),
            ("XX000", ErrorClass::Statement),
        ] {
            assert_eq!(ErrorClass::of_state(state), class, "{state}");
        }
    }
}
