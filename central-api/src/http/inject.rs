//! The layer that lets calls fail on purpose; there only where `FAULT_INJECTION` is set.
//!
//! ```text
//!  request context ─▶ before ─▶ handler ─▶ after the commit ─▶ answer
//!                       │                        │
//!                       └ nothing happened       └ it happened: same key, same answer
//! ```
//!
//! Which call is of which target is read from the route's template and the method. A fault after the
//! commit needs a commit: an answer that is not 2xx is neither counted nor touched. What must stay
//! true: health, descriptions and the faults themselves are never touched, or nobody could look or
//! turn it off; and an error on purpose says that it is one (`injected_fault`).

use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use shared::policy::faults::{Action, Target, When};
use shared::service::request_context::{RequestContext, WaitedOnPurpose};
use shared::service::server::DropAnswer;
use shared::wire::problem::{Problem, ProblemCode};

use super::AppState;

/// Asks for a failure before anything is done, whatever the plan says.
const SIMULATE_FAILURE: &str = "simulateFailure=true";

/// What kind of call one is, by its route; none for what is never touched.
#[must_use]
pub fn target_of(method: &Method, route: &str) -> Option<Target> {
    let call = route.strip_prefix("/v1/")?;
    if call == "admin/faults" {
        return None;
    }
    let asks = method == Method::GET || method == Method::HEAD || call == "inventory/check";
    let streams = ["inventory/snapshot", "admin/live"];
    Some(if asks {
        if call.ends_with("/events") || streams.iter().any(|of| call.starts_with(of)) {
            Target::Feed
        } else {
            Target::Reads
        }
    } else if call == "inventory/updates" {
        Target::Updates
    } else if call.starts_with("orders") || call.starts_with("payments/") {
        Target::Orders
    } else if call.starts_with("reservations")
        || call.ends_with("/reserve")
        || call.ends_with("/release")
    {
        Target::Reservations
    } else {
        // Catalogue, counts, imports, stores: only a rule for all calls is about them.
        Target::All
    })
}

/// Lets a request fail, if the plan or the request says so.
pub(super) async fn inject(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let target = route.and_then(|route| target_of(request.method(), route.as_str()));
    let (Some(target), Some(faults)) = (target, state.shared.faults.as_ref()) else {
        return next.run(request).await;
    };
    let context = request.extensions().get::<RequestContext>().cloned();
    let id = context.as_ref().map(RequestContext::request_id_str);
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|pair| pair == SIMULATE_FAILURE) {
        tracing::warn!(
            request_id = id,
            "a failure is simulated as the request asks"
        );
        return failed(When::Before);
    }
    let mut waited = false;
    match faults.next(target, When::Before, id) {
        Some(Action::Error) => return failed(When::Before),
        Some(Action::DropAnswer) => return dropped(),
        Some(Action::Delay(delay)) => {
            wait(&state, delay).await;
            waited = true;
        }
        None => {}
    }
    let mut answer = next.run(request).await;
    if answer.status().is_success() {
        match faults.next(target, When::AfterCommit, id) {
            Some(Action::Error) => return failed(When::AfterCommit),
            Some(Action::DropAnswer) => return dropped(),
            Some(Action::Delay(delay)) => {
                wait(&state, delay).await;
                waited = true;
            }
            None => {}
        }
    }
    if waited {
        answer.extensions_mut().insert(WaitedOnPurpose);
    }
    answer
}

/// Waits, but does not hold up the end of the service.
async fn wait(state: &AppState, delay: Duration) {
    drop(tokio::time::timeout(delay, state.shutdown.cancelled()).await);
}

fn failed(when: When) -> Response {
    let sentence = match when {
        When::Before => "a fault was injected before anything was done",
        When::AfterCommit => {
            "a fault was injected after it was done; the same key gives the answer"
        }
    };
    let problem = Problem::new(ProblemCode::InjectedFault, sentence);
    problem.with("when", when.as_str()).into_response()
}

fn dropped() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(DropAnswer);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_target_and_some_have_none() {
        for (method, route, expected) in [
            (Method::GET, "/health", None),
            (Method::GET, "/health/ready", None),
            (Method::GET, "/openapi.json", None),
            (Method::GET, "/docs/{*rest}", None),
            (Method::GET, "/v1/admin/faults", None),
            (Method::PUT, "/v1/admin/faults", None),
            (Method::GET, "/v1/info", Some(Target::Reads)),
            (
                Method::HEAD,
                "/v1/inventory/{productId}",
                Some(Target::Reads),
            ),
            (Method::POST, "/v1/inventory/check", Some(Target::Reads)),
            (Method::GET, "/v1/reservations/{id}", Some(Target::Reads)),
            (Method::GET, "/v1/inventory/events", Some(Target::Feed)),
            (Method::GET, "/v1/orders/events", Some(Target::Feed)),
            (Method::GET, "/v1/inventory/snapshot", Some(Target::Feed)),
            (
                Method::GET,
                "/v1/inventory/snapshots/{name}",
                Some(Target::Feed),
            ),
            (Method::GET, "/v1/admin/live", Some(Target::Feed)),
            (Method::POST, "/v1/inventory/updates", Some(Target::Updates)),
            (Method::POST, "/v1/orders", Some(Target::Orders)),
            (
                Method::PUT,
                "/v1/orders/{orderId}/status",
                Some(Target::Orders),
            ),
            (
                Method::POST,
                "/v1/payments/{paymentId}/refund",
                Some(Target::Orders),
            ),
            (Method::POST, "/v1/reservations", Some(Target::Reservations)),
            (
                Method::POST,
                "/v1/inventory/{productId}/reserve",
                Some(Target::Reservations),
            ),
            (
                Method::POST,
                "/v1/inventory/{productId}/release",
                Some(Target::Reservations),
            ),
            (Method::POST, "/v1/products", Some(Target::All)),
            (Method::PUT, "/v1/stores/{id}/heartbeat", Some(Target::All)),
        ] {
            assert_eq!(target_of(&method, route), expected, "{method} {route}");
        }
    }
}
