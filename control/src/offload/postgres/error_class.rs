//! What an error of PostgreSQL means for the request that met it.

use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Who can mend it, and what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The connection is gone; what became of the statement is not known.
    Lost,
    /// The statement was cancelled or rolled back without having done anything: it may be sent again.
    Undone,
    /// What was prepared is not there any more.
    Forgotten,
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
        let class = Self::of_state(refusal.code().code());
        // An error in what was sent ends the statement only; one of the connection is fatal.
        let is_fatal = refusal.parsed_severity().is_none_or(|severity| severity != Severity::Error);
        if class == Self::Lost && is_protocol_violation(refusal) && !is_fatal {
            return Self::Statement;
        }
        class
    }

    /// By SQLSTATE: PostgreSQL's manual, appendix A.
    fn of_state(state: &str) -> Self {
        match state {
            // query_canceled, serialization_failure, deadlock_detected
            "57014" | "40001" | "40P01" => Self::Undone,
            // invalid_sql_statement_name: something on the way has forgotten what was prepared.
            "26000" => Self::Forgotten,
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

/// Whether an error of binding values to a prepared statement may mean that a table was altered since it was
/// prepared. Nothing was run then.
pub(super) fn is_outdated(error: &Error) -> bool {
    let is_of_types = |state| {
        // undefined_function, datatype_mismatch, indeterminate_datatype, invalid_binary_representation,
        // feature_not_supported ("cached plan must not change result type")
        matches!(state, "42883" | "42804" | "42P18" | "22P03" | "0A000")
    };
    error.as_db_error().is_some_and(|refusal| {
        is_of_types(refusal.code().code())
            || is_protocol_violation(refusal) && ErrorClass::of(error) == ErrorClass::Statement
    })
}

/// What is sent has not the form that is expected: a value of another length, say.
fn is_protocol_violation(refusal: &DbError) -> bool {
    refusal.code() == &SqlState::PROTOCOL_VIOLATION
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
            ("26000", ErrorClass::Forgotten),
            ("0A000", ErrorClass::Statement),
            ("42P01", ErrorClass::Statement),
            ("42501", ErrorClass::Statement),
            ("XX000", ErrorClass::Statement),
        ] {
            assert_eq!(ErrorClass::of_state(state), class, "{state}");
        }
    }
}
