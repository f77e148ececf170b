//! One trace from a till over a store to central, as a collector sees it.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use system_tests::process::{KEY, Service, client, until};
use tokio::net::TcpListener;

use crate::scene::{PATIENCE, SHORT, converges};
use crate::till;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What was sent to the collector, as it came.
type Received = Arc<Mutex<Vec<u8>>>;

async fn collector() -> (String, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let keep = move |body: Bytes| {
        kept.lock().extend_from_slice(&body);
        async {}
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/traces", post(keep));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, received)
}

/// How often `part` stands in what was received.
fn count(received: &Received, part: &[u8]) -> usize {
    let received = received.lock();
    received
        .windows(part.len())
        .filter(|at| *at == part)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_till_over_the_store_to_central() {
    let dir = tempfile::tempdir().unwrap();
    let (url, received) = collector().await;
    let collect = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let folder = dir.path().join("central");
    let central = Service::central_with(&folder, &collect);
    let central = central.await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &["A"], 10).await;
    let settings = [&SHORT[..], &collect].concat();
    let folder = dir.path().join("store");
    let store = Service::store_with("store-s1", &folder, central.address(), &settings);
    let store = store.await.unwrap();
    converges(&client, &central, &store).await;

    let caller = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let sale = json!({"productId": "A", "delta": -1, "idempotencyKey": "k"});
    let request = client.post(store.url("/v1/store/inventory/updates"));
    let request = request
        .header("X-API-Key", KEY)
        .header("traceparent", &caller);
    let answer = request.json(&sale).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["traceparent"], caller.as_str(), "echoed");

    let trace = (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap());
    let trace: Vec<u8> = trace.collect();
    // The store's request, its call, and central's request.
    let all = async || count(&received, &trace) >= 3;
    until("three spans of the trace", PATIENCE, all)
        .await
        .unwrap();
    for part in [
        "POST /v1/store/inventory/updates",
        "POST central",
        "POST /v1/inventory/updates",
        "store-api",
        "central-api",
    ] {
        assert!(count(&received, part.as_bytes()) > 0, "{part}");
    }
    // Neither keys nor what was sold are anybody's business there.
    for secret in [KEY, "idempotencyKey", "PROD"] {
        assert_eq!(count(&received, secret.as_bytes()), 0, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    // It is connected to and never answers.
    let collect = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let folder = dir.path().join("central");
    let central = Service::central_with(&folder, &collect);
    let mut central = central.await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &["A"], 10).await;
    for _ in 0..3_000 {
        assert!(till::read(&client, &central, "A").await.is_some());
    }
    assert!(central.stop(PATIENCE).await.unwrap());
    drop(nobody);
}
