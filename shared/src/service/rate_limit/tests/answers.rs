//! The layer: what answers say, who is refused, and who is believed to be whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use governor::clock::FakeRelativeClock;
use http::{HeaderMap, StatusCode};
use tower::ServiceExt as _;

use super::super::*;
use super::config;
use crate::clock::Clock as _;
use crate::service::auth::{ApiKeys, Caller};
use crate::service::request_context::{Peer, RequestContextLayer};
use crate::service::system_clock::SystemClock;

/// A key that nobody guesses.
const LONG: &str = "0123456789abcdef0123456789abcdef";

/// A service with the key `demo`, another that nobody guesses, and its limits.
struct Service {
    router: Router,
    limits: Arc<RateLimits<FakeRelativeClock>>,
}

/// One request and from where it comes.
struct Asked<'a> {
    path: &'a str,
    key: Option<&'a str>,
    peer: &'a str,
    forwarded_for: Option<&'a str>,
}

const NOBODY: Asked<'static> = Asked {
    path: "/v1/info",
    key: None,
    peer: "192.0.2.1:5000",
    forwarded_for: None,
};

impl Service {
    fn with(config: RateLimitConfig) -> Self {
        let keys = ApiKeys::parse(&format!("demo,till@store-s1,{LONG}"), "root").unwrap();
        // Its time stands still.
        let clock = FakeRelativeClock::default();
        let limits = Arc::new(RateLimits::by(config, &clock));
        let router = Router::new()
            .route("/v1/info", get(|| async { "anybody" }))
            .route("/v1/inventory", get(|_: Caller| async { "known" }))
            .route("/v1/body", post(|_: Caller, body: String| async { body }))
            .route("/health", get(|| async { "well" }))
            .route("/health/live", get(|| async { "well" }))
            .with_state(keys.clone())
            .layer(RateLimitLayer::new(Arc::clone(&limits), keys))
            .layer(RequestContextLayer::default());
        Self { router, limits }
    }

    async fn send(&self, mut request: http::Request<Body>, peer: &str) -> (StatusCode, HeaderMap) {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(Peer(peer));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        (answer.status(), answer.headers().clone())
    }

    async fn get(&self, asked: Asked<'_>) -> (u16, HeaderMap) {
        let mut request = http::Request::get(asked.path);
        if let Some(key) = asked.key {
            request = request.header("x-api-key", key);
        }
        if let Some(list) = asked.forwarded_for {
            request = request.header("x-forwarded-for", list);
        }
        let request = request.body(Body::empty()).unwrap();
        let (status, headers) = self.send(request, asked.peer).await;
        (status.as_u16(), headers)
    }

    /// How many of these are let through until one is refused.
    async fn admitted(&self, asked: impl Fn() -> Asked<'static>) -> usize {
        for count in 0..10_000 {
            if self.get(asked()).await.0 == 429 {
                return count;
            }
        }
        panic!("nothing is limited")
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_says_where_the_caller_stands_but_health_does_not() {
    let service = Service::with(config(60_000, 600, ""));
    for (path, key, status, policy, limit, remaining) in [
        ("/v1/info", None, 200, "anonymous", "600", "59"),
        ("/v1/inventory", None, 401, "anonymous", "600", "58"),
        (
            "/v1/inventory",
            Some("nobody"),
            401,
            "unknown_key",
            "60",
            "5",
        ),
        ("/v1/inventory", Some("demo"), 200, "read", "60000", "5999"),
        ("/nowhere", Some("demo"), 404, "read", "60000", "5998"),
        // Another key is another caller.
        ("/v1/inventory", Some("till"), 200, "read", "60000", "5999"),
        ("/v1/body", Some("till"), 405, "read", "60000", "5998"),
        ("/v1/admin/x", Some("root"), 404, "admin", "600", "59"),
    ] {
        let asked = Asked {
            path,
            key,
            ..NOBODY
        };
        let (found, headers) = service.get(asked).await;
        assert_eq!(found, status, "{path} {key:?}");
        let text = |name| text(&headers, name).unwrap();
        let said = text("ratelimit-policy");
        assert_eq!(said, format!("\"{policy}\";q={limit};w=60"), "{path}");
        let said = text("ratelimit");
        let expected = format!("\"{policy}\";r={remaining};t=");
        let seconds = said
            .strip_prefix(&expected)
            .unwrap_or_else(|| panic!("{said}"));
        let seconds: i64 = seconds.parse().unwrap();
        assert_eq!(text("x-ratelimit-limit"), limit);
        assert_eq!(text("x-ratelimit-remaining"), remaining);
        let reset: i64 = text("x-ratelimit-reset").parse().unwrap();
        let now = SystemClock.now().as_millis() / 1_000;
        assert!(
            (reset - now - seconds).abs() <= 60,
            "{reset} {now} {seconds}"
        );
    }
    for path in ["/health", "/health/live"] {
        for _ in 0..1_000 {
            let (status, headers) = service.get(Asked { path, ..NOBODY }).await;
            assert_eq!(status, 200);
            assert_eq!(text(&headers, "ratelimit"), None);
        }
    }
}

#[tokio::test]
async fn who_is_refused_is_told_when_to_come_back_and_its_body_is_not_read() {
    let service = Service::with(config(10, 10, ""));
    let read = Arc::new(AtomicBool::new(false));
    let request = || {
        let read = Arc::clone(&read);
        let body = futures_util::stream::poll_fn(move |_| {
            read.store(true, Ordering::Relaxed);
            Poll::Ready(None::<Result<&'static [u8], std::io::Error>>)
        });
        let request = http::Request::post("/v1/body").header("x-api-key", "demo");
        request.body(Body::from_stream(body)).unwrap()
    };
    let (status, _) = service.send(request(), NOBODY.peer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(read.swap(false, Ordering::Relaxed));
    let (status, headers) = service.send(request(), NOBODY.peer).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!read.load(Ordering::Relaxed));
    let kind = text(&headers, "content-type");
    assert_eq!(kind, Some("application/problem+json"));
    // One may come at once, and then one every six seconds.
    assert_eq!(text(&headers, "retry-after"), Some("6"));
    assert_eq!(text(&headers, "ratelimit"), Some("\"write\";r=0;t=6"));
    assert_eq!(text(&headers, "x-ratelimit-remaining"), Some("0"));
    // Another policy counts for itself.
    let path = "/v1/inventory";
    let key = Some("demo");
    assert_eq!(
        service
            .get(Asked {
                path,
                key,
                ..NOBODY
            })
            .await
            .0,
        200
    );
    let labels = ["external", "write"];
    let counted = service.limits.refusals().with_label_values(&labels).get();
    assert_eq!(counted, 1);
    service.limits.reset();
    let (status, _) = service.send(request(), NOBODY.peer).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_has_guessed_too_often_learns_nothing_more_about_keys() {
    let service = Service::with(config(600, 600, ""));
    let path = "/v1/inventory";
    let with = |key| Asked {
        path,
        key: Some(key),
        ..NOBODY
    };
    // Ten wrong keys a minute, one of them at once.
    assert_eq!(service.admitted(|| with("nobody")).await, 1);
    // A right one that can be guessed is answered as a wrong one is; a long one is let through.
    assert_eq!(service.get(with("demo")).await.0, 429);
    assert_eq!(service.get(with(LONG)).await.0, 200);
    // A long one that is wrong is a guess too.
    let wrong = LONG.replace('0', "1");
    let mut request = http::Request::get(path).header("x-api-key", wrong);
    request = request.header("x-request-id", "r");
    let request = request.body(Body::empty()).unwrap();
    assert_eq!(service.send(request, NOBODY.peer).await.0, 429);
    // Another address, and whoever has no key, has done nothing.
    let peer = "192.0.2.2:5000";
    assert_eq!(
        service
            .get(Asked {
                peer,
                ..with("demo")
            })
            .await
            .0,
        200
    );
    assert_eq!(service.get(NOBODY).await.0, 200);
    // Two different keys are a guess as well.
    let request = http::Request::get(path).header("x-api-key", "demo");
    let request = request.header("authorization", "Bearer other");
    let request = request.body(Body::empty()).unwrap();
    assert_eq!(service.send(request, NOBODY.peer).await.0, 429);
}

#[tokio::test]
async fn who_is_behind_a_proxy_is_believed_if_the_proxy_is_ours_and_nobody_else_is() {
    let forwarded = |list| Asked {
        forwarded_for: Some(list),
        ..NOBODY
    };
    // Nobody is trusted: six without a key at once, whatever they write.
    let service = Service::with(config(600, 600, ""));
    assert_eq!(service.admitted(|| NOBODY).await, 6);
    assert_eq!(service.get(forwarded("198.51.100.7")).await.0, 429);
    // A proxy is: each of its clients counts for itself, and cannot pass for another.
    let service = Service::with(config(600, 600, "192.0.2.0/24"));
    assert_eq!(service.admitted(|| forwarded("198.51.100.7")).await, 6);
    let spoofed = forwarded("203.0.113.9, 198.51.100.7");
    assert_eq!(service.get(spoofed).await.0, 429);
    assert_eq!(service.get(forwarded("198.51.100.8")).await.0, 200);
    let stranger = Asked {
        peer: "198.51.100.7:4000",
        ..forwarded("198.51.100.9")
    };
    assert_eq!(service.get(stranger).await.0, 429);
}

#[tokio::test]
async fn the_report_has_the_shape_of_seed_003_and_says_who_has_used_up_what() {
    let service = Service::with(config(200, 50, ""));
    let path = "/v1/inventory";
    let key = Some("till");
    for asked in [
        NOBODY,
        NOBODY,
        Asked {
            path,
            key,
            ..NOBODY
        },
    ] {
        assert_eq!(service.get(asked).await.0, 200);
    }
    assert_eq!(service.admitted(|| NOBODY).await, 4);
    let report = serde_json::to_value(service.limits.report()).unwrap();
    let expected = serde_json::json!({
        "active_ip_limits": 1, "admin_requests_per_minute": 50, "enabled": true,
        "requests_per_minute": 200, "type": "ip", "window_minutes": 1,
        "callers": [
            {"policy": "anonymous", "ip": "192.0.2.1", "remaining": 0},
            {"policy": "read", "principal": "store-s1", "remaining": 19},
        ],
        "policies": [
            {"policy": "anonymous", "limit": 60, "active": 1, "refused": 1},
            {"policy": "unknown_key", "limit": 10, "active": 0, "refused": 0},
            {"policy": "read", "limit": 200, "active": 1, "refused": 0},
            {"policy": "write", "limit": 200, "active": 0, "refused": 0},
            {"policy": "admin", "limit": 50, "active": 0, "refused": 0},
            {"policy": "journal_drain", "limit": 600_000, "active": 0, "refused": 0},
        ],
    });
    assert_eq!(report, expected);
    service.limits.reset();
    let report = serde_json::to_value(service.limits.report()).unwrap();
    assert_eq!(report["callers"], serde_json::json!([]));
}
