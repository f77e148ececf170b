//! The circuit breaker of the payment provider, over HTTP.

use std::sync::Arc;

use central_api::http::{self, AppState};
use central_api::payments::simulated::Simulated;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, Guarded, PaymentKey, PaymentProvider as _,
};
use reqwest::Method;
use serde_json::Value;
use shared::clock::{ManualClock, Timestamp};
use shared::domain::money::Money;
use shared::policy::{Breaker, BreakerSettings};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::harness::{KEY, READ_KEY, TestCentral};
use crate::served::{ADMIN, Served, config};

#[tokio::test]
async fn who_may_read_sees_it_and_only_an_admin_resets_it() {
    let central = TestCentral::start().await;
    for key in [READ_KEY, KEY] {
        let answer = central.request(Method::GET, "/v1/circuit-breakers", key);
        let answer: Value = answer.send().await.unwrap().json().await.unwrap();
        let breaker = &answer["circuitBreakers"][0];
        assert_eq!(breaker["name"], "payments");
        assert_eq!(breaker["state"], "closed");
    }
    let reset = "/v1/circuit-breakers/payments/reset";
    for (path, key, status) in [
        (reset, KEY, 403),
        (reset, READ_KEY, 403),
        (reset, "nobody", 401),
        ("/v1/circuit-breakers/central/reset", "admin-demo", 404),
        (reset, "admin-demo", 200),
    ] {
        let answer = central.request(Method::POST, path, key).send().await;
        assert_eq!(answer.unwrap().status(), status, "{path} {key}");
    }
}

#[tokio::test]
async fn it_is_shown_open_and_a_reset_closes_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir).await;
    let config = config(dir.path().to_owned());
    let late = std::time::Duration::from_secs(10);
    let bank = Simulated::new(Arc::new(ManualClock::default()), late);
    let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
    // Whoever does not answer at once is not waited for.
    let timeout = std::time::Duration::ZERO;
    let guarded = Arc::new(Guarded::new(Arc::new(bank), breaker, timeout));
    let payments = Arc::clone(&guarded);
    let ledger = served.ledger.clone();
    let router = http::router(AppState::new(
        ledger,
        &config,
        payments,
        CancellationToken::new(),
    ));
    let request = ChargeRequest {
        key: PaymentKey::parse("order-1").unwrap(),
        order_id: "order-1".into(),
        amount: Money::from_minor(100).unwrap(),
        currency: "USD".into(),
        method: Some("card_timeout".into()),
        since: Timestamp::default(),
        correlation: None,
    };
    for _ in 0..5 {
        let outcome = guarded.charge(&request).await;
        assert!(matches!(outcome, ChargeOutcome::Unknown(_)), "{outcome:?}");
    }
    let ask = async |method: &str, path: &str| -> Value {
        let request = axum::http::Request::builder();
        let request = request.method(method).uri(path).header("x-api-key", ADMIN);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let shown = ask("GET", "/v1/circuit-breakers").await;
    let breaker = &shown["circuitBreakers"][0];
    assert_eq!(breaker["state"], "open");
    assert_eq!(
        (&breaker["failures"], &breaker["timeouts"]),
        (&5.into(), &5.into())
    );
    assert!(breaker["openedAt"].is_string() && breaker["nextProbeAt"].is_string());
    assert!(breaker["latencyMs"]["p99"].is_number());
    let reset = ask("POST", "/v1/circuit-breakers/payments/reset").await;
    assert_eq!(reset["state"], "closed");
    assert!(reset.get("openedAt").is_none(), "{reset}");
    drop(router);
    served.stop().await;
}
