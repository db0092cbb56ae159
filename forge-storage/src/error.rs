//! What the database says, as meanings.
//!
//! Invariant: a fault that passes by itself (no connection, a lost race between transactions, a full disk) is
//! `Unavailable`; everything else that no caller caused is `Internal`. No text of the database reaches a caller.

use forge_core::Error;
use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

/// A failure that no constraint of ours explains.
pub(crate) fn failed(error: DbErr) -> Error {
    if passes(&error) {
        Error::unavailable(error)
    } else {
        Error::internal(error)
    }
}

/// A failed insert or update: the unique constraint is `conflict`, a foreign key means that its owner is gone.
pub(crate) fn refused(error: DbErr, conflict: impl FnOnce() -> Error) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => conflict(),
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => Error::NotFound,
        _ => failed(error),
    }
}

/// Whether a failed insert or update met the unique index of this column. PostgreSQL tells the index, which is named
/// `table_column`, SQLite the column.
pub(crate) fn is_taken(error: &DbErr, table: &str, column: &str) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let SqlxError::Database(error) = &**error else {
        return false;
    };
    match error.constraint() {
        Some(index) => index == format!("{table}_{column}"),
        None => error.message() == format!("UNIQUE constraint failed: {table}.{column}"),
    }
}

/// A row holds what this version cannot read.
pub(crate) fn unreadable(what: &str) -> Error {
    Error::internal(format!("a row holds an unreadable {what}"))
}

fn passes(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed => true,
                SqlxError::Database(error) => error.code().is_some_and(|code| code_passes(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Five characters are PostgreSQL's SQLSTATE, a number is SQLite's extended result code.
fn code_passes(code: &str) -> bool {
    match code.parse::<u32>() {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 13),
        // connection, resources, shutdown, serialization failure, deadlock, lock timeout
        _ => {
            ["08", "53", "57P"]
                .iter()
                .any(|class| code.starts_with(class))
                || matches!(code, "40001" | "40P01" | "55P03")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::code_passes;

    #[test]
    fn lost_races_and_full_disks_pass_and_constraints_do_not() {
        for passing in [
            "5", "517", "6", "13", "40001", "40P01", "08006", "53300", "57P01",
        ] {
            assert!(code_passes(passing), "{passing}");
        }
        for lasting in ["1", "787", "2067", "23505", "42P01", "57014", "00000"] {
            assert!(!code_passes(lasting), "{lasting}");
        }
    }
}
