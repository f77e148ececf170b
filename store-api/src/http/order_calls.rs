//! How a call about orders is passed on to central, and its answer back.
//!
//! What must stay true: a store speaks for itself only; a path or a query that a caller made up reaches
//! nothing but orders; what does not speak as central does is never taken for its answer.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::request_context::RequestContext;
use shared::wire::headers::{LOG_HEAD, SYNC_VISIBLE};
use shared::wire::problem::{Problem, ProblemCode};
use shared::wire::unique::object;

use super::AppState;
use super::update_body::rename_key;
use super::updates::{passed_on, readdressed, refused, unanswered};
use super::visible::until;
use super::write_headers::WriteHeaders;
use crate::central::problem_code;
use crate::central::{Call, CallFault, Central as _, Reply};

/// Where central has its orders.
pub(super) const ORDERS: &str = "v1/orders";
/// How central begins the name of an order.
const ID_START: &str = "ord-";

/// Where a write goes.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    /// Time for all of it.
    pub(super) within: Duration,
    /// Whether it makes an order; else it is about one.
    pub(super) is_new: bool,
}

/// Passes a write on, and waits a moment until this store's copy shows what it did.
pub(super) async fn write(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    request: Request,
    ask: Ask,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Problem>,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let store = &state.config.store_id;
    caller.check_store(Some(store))?;
    let headers = WriteHeaders::of(request.headers());
    let body = read_body(request).await?;
    let mut fields = if body.trim_ascii().is_empty() {
        Map::new()
    } else {
        object(&body).map_err(|problem| headers.beside(problem))?
    };
    change(&mut fields)?;
    rename_key(&mut fields, store);
    let key = headers.own_key(store);
    let call = Call {
        is_repeatable: key.is_some() || fields.contains_key("idempotencyKey"),
        attempt: ask.is_new.then_some(ask.within),
        may_be_forbidden: !ask.is_new,
        body: Some(Value::Object(fields).to_string().into()),
        key,
        if_match: headers.if_match,
        ..call(context, ask.method, ask.path)
    };
    let reply = match asked(state, context, &call, ask.within).await {
        Ok(reply) => reply,
        Err(refusal) => return Ok(refusal),
    };
    let head = reply.headers.get(LOG_HEAD);
    let head = head.and_then(|head| head.to_str().ok()?.parse::<u64>().ok());
    let mut response = answer(reply);
    if let Some(head) = head {
        let seen = until(state, |shown| shown.catalogue.head().offset >= head).await;
        let seen = HeaderValue::from_static(if seen { "true" } else { "false" });
        response.headers_mut().insert(SYNC_VISIBLE, seen);
        if let Some(tip) = state.live.tip() {
            state.write_freshness(tip.position.offset, response.headers_mut());
        }
    }
    Ok(response)
}

pub(super) fn call(context: &RequestContext, method: Method, path: String) -> Call {
    Call {
        method,
        path,
        body: None,
        key: None,
        if_match: None,
        is_repeatable: true,
        attempt: None,
        may_be_forbidden: true,
        correlation: Some(context.correlation_header().clone()),
        traceparent: context.traceparent().cloned(),
    }
}

/// Central's answer, or the answer instead. What does not speak as central does is something on the
/// way, which may have passed the request on before, or not.
pub(super) async fn asked(
    state: &AppState,
    context: &RequestContext,
    call: &Call,
    within: Duration,
) -> Result<Reply, Response> {
    let reply = state.central.call(call, within).await;
    judged(context, call, reply).map_err(|fault| refused(&fault, unanswered(&fault)))
}

/// Central's answer as the caller is to have it, if it is central's.
pub(super) fn judged(
    context: &RequestContext,
    call: &Call,
    reply: Result<Reply, CallFault>,
) -> Result<Reply, CallFault> {
    let reply = reply?;
    let is_success = reply.status.is_success();
    let speaks = if is_success {
        is_answer(&reply.body, call.method != Method::GET)
    } else {
        problem_code(&reply.body).is_some()
    };
    match (speaks, is_success) {
        (false, _) => Err(CallFault::Unknown { timed_out: false }),
        (true, true) => Ok(reply),
        (true, false) => Ok(readdressed(reply, context)),
    }
}

/// Whether this can be what central answers with: to a write, an order.
fn is_answer(body: &Bytes, is_order: bool) -> bool {
    let body = serde_json::from_slice::<Map<String, Value>>(body);
    body.is_ok_and(|body| !is_order || body.get("orderId").is_some_and(Value::is_string))
}

/// Central's answer, with the order where this store has it.
pub(super) fn answer(reply: Reply) -> Response {
    let mut response = passed_on(reply);
    let headers = response.headers_mut();
    if let Some(here) = headers.get(LOCATION).and_then(here) {
        headers.insert(LOCATION, here);
    }
    response
}

/// Where this store has what central has there.
fn here(location: &HeaderValue) -> Option<HeaderValue> {
    let path = location.to_str().ok()?.strip_prefix("/v1/orders/")?;
    HeaderValue::try_from(format!("/v1/store/orders/{path}")).ok()
}

/// Where central has the order of this name.
///
/// # Errors
/// 404 for what central would not call an order; so nothing else can be reached through this.
pub(super) fn path_of(id: &str, rest: &str) -> Result<String, Problem> {
    let token = id.strip_prefix(ID_START).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let sentence = "there is no such order";
        return Err(Problem::new(ProblemCode::OrderNotFound, sentence));
    }
    Ok(format!("{ORDERS}/{id}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_orders_name_leads_to_an_order() {
        assert_eq!(
            path_of("ord-01kf", "/events").unwrap(),
            "v1/orders/ord-01kf/events"
        );
        for id in [
            "events",
            "ord-",
            "ord-1/../x",
            "ord-1?x",
            "..",
            "ord-1%2e",
            "ord-\u{e9}",
        ] {
            assert_eq!(
                path_of(id, "").unwrap_err().code,
                ProblemCode::OrderNotFound,
                "{id}"
            );
        }
    }
}
