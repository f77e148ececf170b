//! What the domain and the ledger refuse, as problems. The only place where one becomes the other.

use shared::domain::inventory::{Decision, ItemResult, Rejection};
use shared::wire::problem::{Detail, Problem, ProblemCode};

use crate::journal::JournalError;
use crate::ledger::SubmitError;
use crate::ledger::inbox::Refused;

/// Where whoever is lost in the log begins again.
pub const SNAPSHOT_URL: &str = "/v1/inventory/snapshot";

/// The problem code of a rejection, whose word is also seed 003's `errorType`.
#[must_use]
pub const fn code(rejection: &Rejection) -> ProblemCode {
    match rejection {
        Rejection::ProductNotFound { .. } => ProblemCode::ProductNotFound,
        Rejection::ProductExists { .. } => ProblemCode::ProductExists,
        Rejection::VersionConflict { .. } => ProblemCode::VersionConflict,
        Rejection::InsufficientInventory { .. } => ProblemCode::InsufficientInventory,
        Rejection::StockOutOfRange { .. } => ProblemCode::StockOutOfRange,
        Rejection::UnitsPromised { .. } => ProblemCode::UnitsPromised,
        Rejection::NameRequired { .. } | Rejection::NotAlone { .. } => ProblemCode::InvalidRequest,
    }
}

/// A refused item as the problem of the whole request, with the figures that let the caller rebase.
#[must_use]
pub fn problem(rejection: &Rejection) -> Problem {
    let problem = Problem::new(code(rejection), rejection.to_string())
        .with("productId", rejection.product_id().as_str());
    match rejection {
        Rejection::VersionConflict {
            version,
            available,
            last_updated,
            ..
        }
        | Rejection::InsufficientInventory {
            version,
            available,
            last_updated,
            ..
        } => problem
            .with("version", *version)
            .with("available", *available)
            .with("lastUpdated", last_updated.to_string()),
        Rejection::ProductExists {
            version, available, ..
        } => problem
            .with("version", *version)
            .with("available", *available),
        Rejection::UnitsPromised {
            reserved,
            allotted,
            version,
            ..
        } => problem
            .with("version", *version)
            .with("reserved", *reserved)
            .with("allotted", *allotted),
        Rejection::ProductNotFound { .. }
        | Rejection::StockOutOfRange { .. }
        | Rejection::NameRequired { .. }
        | Rejection::NotAlone { .. } => problem,
    }
}

/// The items for whose sake a decision was refused, with their place; not those that only went along.
pub fn reasons(decision: &Decision) -> impl Iterator<Item = (usize, &Rejection)> {
    let results = decision.results.iter().enumerate();
    results.filter_map(|(index, result)| match result {
        ItemResult::Refused(Rejection::NotAlone { .. })
        | ItemResult::Applied(_)
        | ItemResult::Unchanged => None,
        ItemResult::Refused(rejection) => Some((index, rejection)),
    })
}

/// Those items as faults, each where `place` says that it stands.
pub fn details(decision: &Decision, place: impl Fn(usize) -> String) -> Vec<Detail> {
    reasons(decision)
        .map(|(at, rejection)| Detail::new(place(at), rejection.to_string()))
        .collect()
}

/// The problem of a command that has no answer: 503 if nothing happened, 504 if nobody knows.
#[must_use]
pub fn unanswered(error: SubmitError) -> Problem {
    match error {
        SubmitError::Refused(Refused::Full) => {
            Problem::new(ProblemCode::Overloaded, "too many commands wait already").retry_after(1)
        }
        SubmitError::Refused(Refused::Closed) => {
            Problem::new(ProblemCode::ShuttingDown, "the service is stopping").retry_after(2)
        }
        SubmitError::Unknown => Problem::new(
            ProblemCode::Timeout,
            "the outcome is not known; ask again with the same idempotency key",
        )
        .retry_after(1),
    }
}

/// The problem of a key that was used for another command.
#[must_use]
pub fn key_reused() -> Problem {
    Problem::new(
        ProblemCode::IdempotencyKeyReused,
        "this idempotency key was used for another command",
    )
}

/// `1 row is`, `2 rows are`.
#[must_use]
pub fn so_many(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun} is"),
        many => format!("{many} {noun}s are"),
    }
}

/// The problem of a log that no longer goes back far enough, with the way back to its present.
#[must_use]
pub fn gone(sentence: String, oldest: u64) -> Problem {
    Problem::new(ProblemCode::OffsetGone, sentence)
        .with("oldestOffset", oldest)
        .with("snapshotUrl", SNAPSHOT_URL)
}

/// The problem of a log that cannot be read. What exactly went wrong stands in the service's log.
#[must_use]
pub fn unreadable(error: &JournalError) -> Problem {
    match error {
        JournalError::Gone { wanted, oldest } => {
            let sentence = format!("{wanted} is older than the oldest that is kept, {oldest}");
            gone(sentence, *oldest)
        }
        JournalError::Io { .. }
        | JournalError::Damaged { .. }
        | JournalError::TailLost { .. }
        | JournalError::Poisoned => {
            tracing::error!(error = %chain(error), "the log cannot be read");
            Problem::new(ProblemCode::Internal, "the log cannot be read")
        }
    }
}

/// An error and everything that caused it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
