//! What a store tells Prometheus: names that dashboards depend on, and figures that are right.

use std::collections::BTreeSet;

use shared::testing::exposition::Exposition;
use store_api::http::document;

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually, header, settings};

const DOCS: &str = include_str!("../../../docs/metrics.md");

async fn scrape(store: &TestStore) -> Exposition {
    let url = format!("{}/metrics", store.metrics_url);
    let answer = store.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = header(&answer, "content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::parse(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_types_labels_and_help_are_as_published() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let seen = scrape(&store).await;
    insta::assert_snapshot!("metrics", seen.shape());
    // The page says the same, neither more nor less.
    let (before, ours) = DOCS.split_once("\n## Store\n").unwrap();
    let (common, _) = before.split_once("\n## Central\n").unwrap();
    let rows = common.lines().chain(ours.lines());
    let documented: BTreeSet<&str> = rows
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("holdfast_") || name.starts_with("process_"))
        .collect();
    assert_eq!(documented, seen.names().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_right_after_known_work() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let before = scrape(&store).await;
    let delays = "holdfast_propagation_delay_seconds_count";
    // The first sync is no propagation.
    assert_eq!(before.value(delays, &[]), Some(0.0));
    let reason = |reason: &'static str| [("reason", reason)];
    assert_eq!(
        before.value("holdfast_sync_full_total", &reason("first_sync")),
        Some(1.0)
    );
    assert_eq!(
        before.value("holdfast_sync_full_total", &reason("digest_mismatch")),
        Some(0.0)
    );
    assert!(before.value("holdfast_cache_age_seconds", &[]).unwrap() < 10.0);

    for key in ["k1", "k2"] {
        assert_eq!(store.update("PROD-001", -1, key).await.status(), 200);
    }
    assert_eq!(
        store.get("/v1/store/inventory/PROD-001").await.status(),
        200
    );
    store.live_at(5).await;
    let seen = scrape(&store).await;
    let now = |name: &str, labels: &[(&str, &str)]| seen.value(name, labels).unwrap();
    assert_eq!(now(delays, &[]), 2.0);
    assert_eq!(now("holdfast_sync_events_applied_total", &[]), 2.0);
    assert_eq!(now("holdfast_sync_applied_offset", &[]), 5.0);
    assert_eq!(now("holdfast_sync_central_head_offset", &[]), 5.0);
    assert_eq!(now("holdfast_sync_lag_events", &[]), 0.0);
    assert_eq!(now("holdfast_sync_state", &[("state", "live")]), 1.0);
    assert_eq!(now("holdfast_sync_state", &[("state", "stale")]), 0.0);
    assert_eq!(now("holdfast_products", &[]), 3.0);
    assert_eq!(now("holdfast_cache_persistent", &[]), 1.0);
    assert_eq!(now("holdfast_central_reachable", &[]), 1.0);
    let updates = [
        ("method", "POST"),
        ("route", "/v1/store/inventory/updates"),
        ("status", "2xx"),
    ];
    assert_eq!(now("holdfast_http_requests_total", &updates), 2.0);
    let reads = [
        ("method", "GET"),
        ("route", "/v1/store/inventory/{productId}"),
        ("status", "2xx"),
    ];
    assert_eq!(
        now("holdfast_http_request_duration_seconds_count", &reads),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_central_that_is_away_shows_in_retries_breaker_and_state() {
    let central = FakeCentral::start(3).await;
    let mut patient = settings(&central.url());
    patient.breaker.open_ms = 60_000;
    let store = TestStore::with(patient).await;
    store.live_at(3).await;
    for key in ["k1", "k2"] {
        assert_eq!(store.update("PROD-001", -1, key).await.status(), 200);
    }
    central.vanish().await;
    for _ in 0..3 {
        assert_eq!(store.update("PROD-001", -1, "k3").await.status(), 503);
    }
    let seen = scrape(&store).await;
    let now = |name: &str, labels: &[(&str, &str)]| seen.value(name, labels).unwrap();
    // Three attempts at the first sale; with the two before, more than half of five calls failed.
    assert_eq!(now("holdfast_retries_total", &[("target", "central")]), 2.0);
    let breaker = |state: &'static str| [("breaker", "central"), ("state", state)];
    assert_eq!(now("holdfast_breaker_state", &breaker("open")), 1.0);
    assert_eq!(
        now("holdfast_breaker_transitions_total", &breaker("open")),
        1.0
    );
    assert_eq!(
        now("holdfast_breaker_transitions_total", &breaker("closed")),
        0.0
    );
    let calls = |outcome: &'static str| [("breaker", "central"), ("outcome", outcome)];
    assert_eq!(now("holdfast_breaker_calls_total", &calls("success")), 2.0);
    assert_eq!(now("holdfast_breaker_calls_total", &calls("failure")), 3.0);
    assert!(now("holdfast_breaker_calls_total", &calls("rejected")) >= 1.0);
    eventually("the store knows that central is away", async || {
        let seen = scrape(&store).await;
        let stale = seen.value("holdfast_sync_state", &[("state", "stale")]);
        let reachable = seen.value("holdfast_central_reachable", &[]);
        (stale, reachable) == (Some(1.0), Some(0.0))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_words_of_ours_whatever_is_sent() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    for path in [
        "/SECRET",
        "/v1/store/inventory/SECRET",
        "/v1/store/orders/SECRET",
        "/docs/SECRET",
    ] {
        store.get(path).await;
    }
    store.update("SECRET", -1, "SECRET").await;
    let seen = scrape(&store).await;
    let known = document()["paths"].as_object().unwrap();
    for route in seen.label_values("route") {
        let ours = known.contains_key(route) || route == "-" || route.starts_with("/docs");
        assert!(ours && !route.contains("SECRET"), "{route}");
    }
    assert_eq!(
        store.get("/metrics").await.status(),
        404,
        "not on the public port"
    );
}
