//! The breaker, over HTTP.

use std::time::Duration;

use serde_json::Value;

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually, header, settings};

async fn breaker(store: &TestStore) -> Value {
    store.get_json("/v1/circuit-breakers").await["circuitBreakers"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_after_five_failures_answers_at_once_probes_and_closes() {
    let central = FakeCentral::start(1).await;
    let mut short = settings(&central.url());
    short.breaker.open_ms = 700;
    let store = TestStore::with(short).await;
    store.live_at(1).await;
    assert_eq!(breaker(&store).await["state"], "closed");
    central.vanish().await;
    for _ in 0..2 {
        assert_eq!(store.update("PROD-001", -1, "k").await.status(), 503);
    }
    let state = breaker(&store).await;
    assert_eq!(
        (&state["state"], &state["failures"]),
        (&"open".into(), &5.into())
    );
    assert!(state["openedAt"].is_string() && state["nextProbeAt"].is_string());
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = tokio::time::Instant::now();
        let answer = store.update("PROD-001", -1, "k").await;
        fastest = fastest.min(begun.elapsed());
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "retry-after")),
            (503, Some("1"))
        );
    }
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    central.appear().await;
    eventually("it lets a probe through", async || {
        breaker(&store).await["state"] == "half_open"
    })
    .await;
    for sale in 0..2 {
        assert_eq!(
            store
                .update("PROD-001", -1, &format!("p{sale}"))
                .await
                .status(),
            200
        );
    }
    assert_eq!(breaker(&store).await["state"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_close_it() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.vanish().await;
    for _ in 0..2 {
        store.update("PROD-001", -1, "k").await;
    }
    assert_eq!(breaker(&store).await["state"], "open");
    central.appear().await;
    let reset = store
        .client
        .post(format!("{}/v1/circuit-breakers/central/reset", store.url));
    let reset = reset
        .header("x-api-key", "admin-demo")
        .send()
        .await
        .unwrap();
    assert_eq!(reset.status(), 200);
    assert_eq!(store.update("PROD-001", -1, "k").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_do_not_open_it_and_the_feed_does_not_either() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    for number in 0..20 {
        assert_eq!(
            store
                .update("PROD-001", -99, &format!("k{number}"))
                .await
                .status(),
            409
        );
    }
    central.misbehave(|spoilt| spoilt.garbage = 8);
    central.put("PROD-001", 4);
    store.live_at(2).await;
    assert_eq!(breaker(&store).await["state"], "closed");
}
