//! From a request to a decision: who asks, under which key, how long it waits, and the mark of an
//! answer that was given before.
//!
//! Every call that changes something takes this way, so that a key means the same to all of them.
//! What is asked and what the answer looks like is each call's own affair; batches whose lines are
//! decided one by one hand their requests to the ledger themselves.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use shared::domain::Command;
use shared::domain::ids::{IdempotencyKey, StoreId};
use shared::domain::origin::Origin;
use shared::limits;
use shared::service::auth::Caller;
use shared::service::request_context::RequestContext;
use shared::wire::headers::IDEMPOTENT_REPLAYED;
use shared::wire::problem::Problem;

use super::{AppState, refusal};
use crate::ledger::{Decided, Outcome, Request as LedgerRequest, SubmitError};

/// Who asks, for which store, under which key.
pub(super) fn origin(
    caller: &Caller,
    context: &RequestContext,
    store: Option<&StoreId>,
    key: Option<IdempotencyKey>,
) -> Origin {
    Origin {
        principal: caller.principal_for(store),
        store: store.cloned(),
        key,
        request: context.request_id(),
        correlation: context.correlation_id(),
    }
}

/// What the ledger is asked.
pub(super) fn request(origin: Origin, command: impl Into<Command>) -> LedgerRequest {
    let command = command.into();
    LedgerRequest {
        fingerprint: command.fingerprint(origin.store.as_ref()),
        origin,
        command,
    }
}

/// Has a command decided for `origin`. Also says whether it was decided by an earlier request.
///
/// # Errors
/// 422 for a key that was used for another command; 503 or 504 without an answer.
pub(super) async fn decide(
    state: &AppState,
    origin: Origin,
    command: impl Into<Command>,
) -> Result<(Arc<Decided>, bool), Problem> {
    match bounded(state.ledger.decide(request(origin, command))).await? {
        Outcome::Decided { decided, replayed } => Ok((decided, replayed)),
        Outcome::KeyReused => Err(refusal::key_reused()),
    }
}

/// Waits for `answer` as long as a caller should.
///
/// # Errors
/// 503 if nothing happened, 504 if nobody knows.
pub(super) async fn bounded<T>(
    answer: impl Future<Output = Result<T, SubmitError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limits::DECISION_WAIT, answer).await {
        Ok(answer) => answer.map_err(refusal::unanswered),
        Err(_) => Err(refusal::unanswered(SubmitError::Unknown)),
    }
}

/// Marks an answer that was given before.
pub(super) fn mark(mut answer: Response, replayed: bool) -> Response {
    if replayed {
        let yes = HeaderValue::from_static("true");
        answer.headers_mut().insert(IDEMPOTENT_REPLAYED, yes);
    }
    answer
}
