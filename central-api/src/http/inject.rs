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
//!
//! `?simulateFailure=` is this layer's own parameter. It is taken out of the query, so that a call
//! which refuses what it does not know works with it; one that is neither true nor false is a fault. It
//! needs a key, but no admin's: the one call that fails is the caller's own, and nothing is done in it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, Uri};
use shared::policy::faults::{Action, Target, When};
use shared::service::auth::Authenticate as _;
use shared::service::request_context::{RequestContext, WaitedOnPurpose};
use shared::service::server::DropAnswer;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::AppState;

/// With `true` asks for a failure before anything is done, whatever the plan says.
const SIMULATE_FAILURE: &str = "simulateFailure";

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
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let target = route.and_then(|route| target_of(request.method(), route.as_str()));
    let (Some(target), Some(faults)) = (target, state.shared.faults.as_ref()) else {
        return next.run(request).await;
    };
    let context = request.extensions().get::<RequestContext>().cloned();
    let id = context.as_ref().map(RequestContext::request_id_str);
    match asked_to_fail(request.uri_mut()) {
        Ok(false) => {}
        Ok(true) => {
            // Whoever has no key can make nothing fail, not even a call of its own.
            if let Err(problem) = state.authenticate(request.headers()) {
                return problem.into_response();
            }
            tracing::warn!(
                request_id = id,
                "a failure is simulated as the request asks"
            );
            return failed(When::Before);
        }
        Err(problem) => return problem.into_response(),
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

/// Takes `simulateFailure` out of the query, and says whether it is true.
///
/// # Errors
/// 400 if it is neither true nor false, or given twice.
fn asked_to_fail(uri: &mut Uri) -> Result<bool, Problem> {
    let Some(query) = uri.query().filter(|query| query.contains(SIMULATE_FAILURE)) else {
        return Ok(false);
    };
    let (own, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        name == SIMULATE_FAILURE
    });
    let asked = match own.as_slice() {
        [] => return Ok(false),
        [only] => match only.split_once('=').map_or("", |(_, value)| value) {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false"),
        },
        _ => Err("must be given once"),
    };
    let asked = asked.map_err(|issue| {
        let detail = Detail::new(format!("query.{SIMULATE_FAILURE}"), issue);
        Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
    })?;
    let path = match others.as_slice() {
        [] => uri.path().to_owned(),
        others => format!("{}?{}", uri.path(), others.join("&")),
    };
    // A part of what was an address is one; if not, the call is refused for what is in it.
    if let Ok(shorter) = path.parse() {
        *uri = shorter;
    }
    Ok(asked)
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
    fn the_layers_own_parameter_leaves_the_query_and_the_others_stay() {
        for (query, expected, left) in [
            ("/v1/a", Some(false), "/v1/a"),
            ("/v1/a?simulateFailure=true", Some(true), "/v1/a"),
            ("/v1/a?simulateFailure=false", Some(false), "/v1/a"),
            (
                "/v1/a?q=%20b&simulateFailure=false&limit=2",
                Some(false),
                "/v1/a?q=%20b&limit=2",
            ),
            (
                "/v1/a?q=simulateFailure",
                Some(false),
                "/v1/a?q=simulateFailure",
            ),
            (
                "/v1/a?simulateFailureX=true",
                Some(false),
                "/v1/a?simulateFailureX=true",
            ),
            ("/v1/a?simulateFailure", None, ""),
            ("/v1/a?simulateFailure=", None, ""),
            ("/v1/a?simulateFailure=1", None, ""),
            ("/v1/a?simulateFailure=TRUE", None, ""),
            ("/v1/a?simulateFailure=true&simulateFailure=true", None, ""),
        ] {
            let mut uri: Uri = query.parse().unwrap();
            match expected {
                Some(expected) => {
                    assert_eq!(asked_to_fail(&mut uri).unwrap(), expected, "{query}");
                    assert_eq!(uri.to_string(), left, "{query}");
                }
                None => {
                    let problem = asked_to_fail(&mut uri).unwrap_err();
                    assert_eq!(problem.details[0].field, "query.simulateFailure", "{query}");
                }
            }
        }
    }

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
