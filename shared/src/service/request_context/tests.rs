use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

async fn speaks(context: RequestContext) -> String {
    format!(
        "{} {} {}",
        context.request_id(),
        context
            .correlation_id()
            .map_or("-".to_owned(), |id| id.to_string()),
        context
            .traceparent()
            .map_or("-", |value| value.to_str().unwrap()),
    )
}

fn routes() -> Router {
    let refuses = || async {
        let details = vec![crate::wire::problem::Detail::new("delta", "must not be 0")];
        Problem::with_details(ProblemCode::InvalidDelta, details).with("applied", false)
    };
    Router::new()
        .route("/speaks", get(speaks))
        .route("/refuses/{id}", post(refuses))
        .route(
            "/closed",
            get(|| async { Problem::new(ProblemCode::Unauthorized, "no") }),
        )
        .route(
            "/busy",
            get(|| async { Problem::new(ProblemCode::Overloaded, "no").retry_after(7) }),
        )
        .route(
            "/stopping",
            get(|| async { Problem::new(ProblemCode::ShuttingDown, "no") }),
        )
        .route(
            "/cached",
            get(|| async {
                (
                    [(http::header::CACHE_CONTROL, "max-age=1")],
                    Problem::new(ProblemCode::OffsetAhead, "no"),
                )
            }),
        )
        .route(
            "/number/{n}",
            get(|_: axum::extract::Path<u32>| async { "ok" }),
        )
        .route("/teapot", get(|| async { StatusCode::IM_A_TEAPOT }))
        .route(
            "/own",
            get(|| async { (StatusCode::CONFLICT, axum::Json(1)) }),
        )
        .route("/panics", get(panics))
        .route("/panics-late", get(panics_late))
}

async fn panics() -> &'static str {
    panic!("the secret of the house")
}

async fn panics_late() -> &'static str {
    tokio::task::yield_now().await;
    panic!("the secret of the house")
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn ask_of(app: Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask_of(
        routes().layer(RequestContextLayer::default()),
        method,
        path,
        headers,
    )
    .await
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn ids_are_taken_over_and_echoed() {
    let sent = [
        ("x-request-id", "req-1"),
        ("x-correlation-id", "job-9"),
        ("traceparent", TRACE),
    ];
    let answer = ask("GET", "/speaks", &sent).await;
    assert_eq!(answer.body, format!("req-1 job-9 {TRACE}"));
    for (name, value) in sent {
        assert_eq!(answer.header(name), value);
    }
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn ids_are_made_where_absent_or_invalid() {
    let long = "x".repeat(129);
    let bad = [
        ("x-request-id", long.as_str()),
        ("x-correlation-id", "a b"),
        ("traceparent", "00-0-0-0"),
    ];
    for headers in [&[][..], &bad] {
        let first = ask("GET", "/speaks", headers).await;
        let second = ask("GET", "/speaks", headers).await;
        let made = first.header("x-request-id");
        assert_eq!(first.body, format!("{made} - -"));
        assert_eq!(
            first.header("x-correlation-id"),
            made,
            "its own piece of work"
        );
        assert_eq!(first.header("traceparent"), "");
        assert_ne!(made, second.header("x-request-id"));
    }
}

#[test]
fn a_made_id_is_a_prefix_and_a_counter() {
    for (prefix, number, text) in [
        (0x003f_9c1a_7e5b, 0x42, "3f9c1a7e5b-00000042"),
        (0, 0, "0000000000-00000000"),
        (0x00ff_ffff_ffff, 0x1_2345_6789, "ffffffffff-123456789"),
        (1, u64::MAX, "0000000001-ffffffffffffffff"),
    ] {
        assert_eq!(made_id(prefix, number).to_str().unwrap(), text);
    }
}

#[test]
fn only_a_well_formed_traceparent_is_passed_on() {
    for (value, expected) in [
        (TRACE, true),
        (
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
            true,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            false,
        ),
        (
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            false,
        ),
        (
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            false,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            false,
        ),
        (
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            false,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            false,
        ),
        ("", false),
    ] {
        assert_eq!(
            is_traceparent(&HeaderValue::from_str(value).unwrap()),
            expected,
            "{value:?}"
        );
    }
}

#[tokio::test]
async fn a_problem_carries_its_path_its_ids_and_all_its_faults() {
    let answer = ask("POST", "/refuses/P%201?q=1", &[("x-request-id", "req-7")]).await;
    assert_eq!(answer.status, 400);
    let problem = answer.problem();
    assert_eq!(
        problem,
        serde_json::json!({
            "type": "/problems/invalid_delta", "title": "The delta is not valid.", "status": 400,
            "detail": "delta: must not be 0", "message": "delta: must not be 0",
            "instance": "/refuses/P%201", "code": "invalid_delta", "retryable": false,
            "requestId": "req-7", "applied": false,
            "details": [{"field": "delta", "issue": "must not be 0"}],
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
}

/// Method and path, then the status, code and one more header of the answer.
const ERRORS: [(&str, u16, &str, &str); 10] = [
    ("GET /nowhere", 404, "not_found", "cache-control: no-store"),
    (
        "DELETE /speaks",
        405,
        "method_not_allowed",
        "allow: GET,HEAD",
    ),
    (
        "GET /number/x",
        400,
        "bad_request",
        "cache-control: no-store",
    ),
    ("GET /teapot", 418, "bad_request", "cache-control: no-store"),
    (
        "GET /closed",
        401,
        "unauthorized",
        "www-authenticate: Bearer realm=\"holdfast\"",
    ),
    ("GET /busy", 503, "overloaded", "retry-after: 7"),
    ("GET /stopping", 503, "shutting_down", "retry-after: 1"),
    (
        "GET /cached",
        409,
        "offset_ahead",
        "cache-control: max-age=1",
    ),
    (
        "GET /panics",
        500,
        "internal_error",
        "cache-control: no-store",
    ),
    (
        "GET /panics-late",
        500,
        "internal_error",
        "cache-control: no-store",
    ),
];

#[tokio::test]
async fn every_error_is_a_problem_with_ids_whoever_made_it() {
    let sent = [("x-request-id", "req-3"), ("x-correlation-id", "job-4")];
    for (request, status, code, header) in ERRORS {
        let (method, path) = request.split_once(' ').unwrap();
        let (name, value) = header.split_once(": ").unwrap();
        let answer = ask(method, path, &sent).await;
        let problem = answer.problem();
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into())
        );
        assert_eq!(
            (&problem["instance"], &problem["requestId"]),
            (&path.into(), &"req-3".into())
        );
        assert_eq!(answer.header(name), value, "{request}");
        for (name, value) in sent {
            assert_eq!(answer.header(name), value, "{request}");
        }
        assert!(
            !answer.body.contains("secret"),
            "{path}: what a panic says stays inside"
        );
    }
}

#[tokio::test]
async fn an_error_that_was_shaped_on_purpose_stays_as_it_is() {
    let answer = ask("GET", "/own", &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (409, "1"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_the_same_head() {
    let answer = ask("HEAD", "/closed", &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    assert_ne!(answer.header("content-length"), "0");
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl RequestObserver for Seen {
    fn began(&self) {
        self.0.lock().unwrap().push("began".to_owned());
    }
    fn finished(&self, request: &FinishedRequest<'_>) {
        let line = format!(
            "{} {} {}",
            request.method,
            request.route,
            request.status.as_u16()
        );
        self.0.lock().unwrap().push(line);
    }
    fn abandoned(&self) {
        self.0.lock().unwrap().push("abandoned".to_owned());
    }
}

#[tokio::test]
async fn an_observer_hears_of_every_request_by_its_template() {
    let seen = Seen::default();
    let never = || std::future::pending::<()>();
    let app = routes()
        .route("/never", get(never))
        .layer(RequestContextLayer::new(seen.clone()));
    ask_of(app.clone(), "POST", "/refuses/P-1", &[]).await;
    ask_of(app.clone(), "GET", "/nowhere", &[]).await;
    ask_of(app.clone(), "GET", "/panics", &[]).await;
    let request = Request::get("/never").body(Body::empty()).unwrap();
    let mut given_up = tokio_test_poll(app.oneshot(request));
    assert!(given_up.poll_once().await);
    drop(given_up);
    let seen = seen.0.lock().unwrap().clone();
    let expected = [
        "began",
        "POST /refuses/{id} 400",
        "began",
        "GET - 404",
        "began",
        "GET /panics 500",
        "began",
        "abandoned",
    ];
    assert_eq!(seen, expected);
}

/// A future that can be polled once and then dropped.
struct Once<F>(Pin<Box<F>>);

fn tokio_test_poll<F: Future>(future: F) -> Once<F> {
    Once(Box::pin(future))
}

impl<F: Future> Once<F> {
    /// Whether it is still pending after one poll.
    async fn poll_once(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.0.as_mut().poll(cx).is_pending())).await
    }
}
