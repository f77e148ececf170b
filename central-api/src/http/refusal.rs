//! What the domain and the ledger refuse, as problems. The only place where one becomes the other.

use shared::causes::chain;
use shared::domain::{Decision, ItemResult, Rejection};
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
        Rejection::BasisUnknown { .. } => ProblemCode::OffsetGone,
        Rejection::UnitsPromised { .. } => ProblemCode::UnitsPromised,
        Rejection::NameRequired { .. } | Rejection::NotAlone { .. } => ProblemCode::InvalidRequest,
        Rejection::ReservationNotFound { .. } => ProblemCode::ReservationNotFound,
        Rejection::ReservationExists { .. } => ProblemCode::ReservationExists,
        Rejection::ReservationResolved { .. } => ProblemCode::ReservationResolved,
        Rejection::ReservationExpired { .. } => ProblemCode::ReservationExpired,
        Rejection::ReservationOfOrder { .. } => ProblemCode::ReservationOfOrder,
        Rejection::ReservationOfStore { .. } => ProblemCode::Forbidden,
        Rejection::ReservationTooLong { .. } => ProblemCode::ReservationTooLong,
        Rejection::TooManyReservations {} => ProblemCode::Overloaded,
        Rejection::OrderExists { .. } => ProblemCode::OrderExists,
        Rejection::OrderNotFound { .. } => ProblemCode::OrderNotFound,
        Rejection::IllegalTransition { .. } => ProblemCode::IllegalTransition,
        Rejection::OrderSettled { .. } => ProblemCode::OrderSettled,
        Rejection::OrderVersionConflict { .. } => ProblemCode::VersionConflict,
        Rejection::PriceChanged { .. } => ProblemCode::PriceChanged,
        Rejection::TotalTooLarge {} => ProblemCode::TotalTooLarge,
        Rejection::NotRefundable { .. } => ProblemCode::NotRefundable,
        Rejection::PaymentUnavailable {} => ProblemCode::PaymentUnavailable,
        Rejection::ApiKeyExists { .. } => ProblemCode::ApiKeyExists,
        Rejection::ApiKeyNotFound { .. } => ProblemCode::ApiKeyNotFound,
        Rejection::ApiKeyEnded { .. } => ProblemCode::ApiKeyEnded,
        Rejection::ApiKeyExpiryPast { .. } => ProblemCode::InvalidRequest,
        Rejection::TooManyApiKeys {} => ProblemCode::TooManyApiKeys,
        // The saga alone asks for such; nobody else is answered this.
        Rejection::NotAwaited { .. } => ProblemCode::Internal,
    }
}

/// A refused item as the problem of the whole request, with the figures that let the caller rebase.
#[must_use]
pub fn problem(rejection: &Rejection) -> Problem {
    let problem = Problem::new(code(rejection), rejection.to_string());
    let problem = match rejection.product_id() {
        Some(id) => problem.with("productId", id.as_str()),
        None => problem,
    };
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
        }
        | Rejection::StockOutOfRange {
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
        | Rejection::BasisUnknown { .. }
        | Rejection::NameRequired { .. }
        | Rejection::NotAlone { .. } => problem,
        Rejection::TooManyReservations {} => problem.retry_after(5),
        about_holds_and_orders => of_books(problem, about_holds_and_orders),
    }
}

/// Adds what a caller needs to know of the reservation or order that it was refused for.
fn of_books(problem: Problem, rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::ReservationNotFound { reservation_id }
        | Rejection::ReservationOfStore { reservation_id }
        | Rejection::ReservationExists { reservation_id } => {
            problem.with("reservationId", reservation_id.as_str())
        }
        Rejection::ReservationResolved {
            reservation_id,
            state,
        } => problem
            .with("reservationId", reservation_id.as_str())
            .with("state", state.as_str()),
        Rejection::ReservationExpired {
            reservation_id,
            expired_at,
        } => problem
            .with("reservationId", reservation_id.as_str())
            .with("expiredAt", expired_at.to_string()),
        Rejection::ReservationOfOrder {
            reservation_id,
            order_id,
        } => problem
            .with("reservationId", reservation_id.as_str())
            .with("orderId", order_id.as_str()),
        Rejection::ReservationTooLong {
            reservation_id,
            latest,
        } => problem
            .with("reservationId", reservation_id.as_str())
            .with("latest", latest.to_string()),
        Rejection::OrderNotFound { order_id } | Rejection::OrderExists { order_id } => {
            problem.with("orderId", order_id.as_str())
        }
        Rejection::IllegalTransition {
            order_id, status, ..
        }
        | Rejection::OrderSettled { order_id, status } => {
            let allowed = status.allowed().iter().map(|status| status.as_str());
            problem
                .with("orderId", order_id.as_str())
                .with("orderStatus", status.as_str())
                .with("allowed", allowed.collect::<Vec<_>>())
        }
        Rejection::OrderVersionConflict {
            order_id,
            version,
            status,
            ..
        } => problem
            .with("orderId", order_id.as_str())
            .with("orderStatus", status.as_str())
            .with("version", *version),
        Rejection::PriceChanged { total, prices, .. } => {
            let total = serde_json::to_value(total).unwrap_or_default();
            let prices = serde_json::to_value(prices).unwrap_or_default();
            problem.with("totalAmount", total).with("prices", prices)
        }
        Rejection::NotRefundable { payment_id, .. } => {
            problem.with("paymentId", payment_id.as_str())
        }
        Rejection::ApiKeyExists { key_id, .. } => problem.with("keyId", key_id.as_str()),
        Rejection::ApiKeyNotFound { key_id } => problem.with("keyId", &**key_id),
        Rejection::ApiKeyEnded { key_id, ended_at } => problem
            .with("keyId", key_id.as_str())
            .with("endedAt", ended_at.to_string()),
        _ => problem,
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
        SubmitError::Refused(Refused::NoRoom) => {
            let sentence = "the disk is full; nothing was changed, and nothing was lost";
            Problem::new(ProblemCode::StorageFull, sentence).retry_after(5)
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

/// The problem of a log that cannot be read now. If it is broken, what exactly went wrong stands in
/// the service's log.
#[must_use]
pub fn unreadable(error: &JournalError) -> Problem {
    match error {
        JournalError::Gone { wanted, oldest } => {
            let sentence = format!("{wanted} is older than the oldest that is kept, {oldest}");
            gone(sentence, *oldest)
        }
        JournalError::Busy => {
            Problem::new(ProblemCode::Overloaded, error.to_string()).retry_after(1)
        }
        JournalError::Io { .. }
        | JournalError::Sync { .. }
        | JournalError::Damaged { .. }
        | JournalError::TailLost { .. }
        | JournalError::Poisoned
        | JournalError::Panicked { .. } => {
            note_unreadable(error);
            Problem::new(ProblemCode::Internal, "the log cannot be read")
        }
    }
}

/// Leaves word of a log that cannot be read, unless that says nothing about the log.
pub fn note_unreadable(error: &JournalError) {
    if !matches!(error, JournalError::Gone { .. } | JournalError::Busy) {
        tracing::error!(error = %chain(error), "the log cannot be read");
    }
}
