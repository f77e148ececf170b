//! Central is absent, comes, goes.

use serde_json::{Value, json};

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually, header};

#[tokio::test(flavor = "multi_thread")]
async fn before_its_first_sync_a_store_says_so_and_then_serves() {
    let central = FakeCentral::absent(3).await;
    let store = TestStore::start(&central.url()).await;
    let answer = store.get("/v1/store/inventory").await;
    assert_eq!(answer.status(), 503);
    assert!(header(&answer, "retry-after").is_some());
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "not_synced_yet"
    );
    assert_eq!(
        store.get("/v1/store/inventory/PROD-001").await.status(),
        503
    );
    assert_eq!(store.get("/health").await.status(), 503);
    assert_eq!(store.get("/health/live").await.status(), 200);
    assert_eq!(
        store.get("/v1/inventory/events?offset=0").await.status(),
        503
    );
    eventually("it has noticed", async || store.state().await == "stale").await;
    central.appear().await;
    store.live_at(3).await;
    assert_eq!(store.available("PROD-001").await, Some(10));
    assert_eq!(store.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_central_is_gone_and_say_so() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    central.vanish().await;
    eventually("it is stale", async || store.state().await == "stale").await;
    let answer = store.get("/v1/store/inventory/PROD-001").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-central"), Some("unreachable"));
    assert_eq!(
        header(&answer, "cache-status"),
        Some("\"store-s1\"; fwd=stale")
    );
    let health = store.get("/health").await;
    assert_eq!(health.status(), 200);
    assert_eq!(health.json::<Value>().await.unwrap()["status"], "degraded");
    let refused = store.update("PROD-001", -1, "k1").await;
    assert_eq!(refused.status(), 503);
    assert!(header(&refused, "retry-after").is_some());
    let body: Value = refused.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["retryable"]),
        (&json!("central_unavailable"), &json!(true))
    );
    assert_eq!(
        (&body["errorType"], &body["productId"]),
        (&json!("central_unavailable"), &json!("PROD-001"))
    );
    // And when it is back, everything goes on by itself.
    central.put("PROD-001", 5);
    central.appear().await;
    store.live_at(4).await;
    assert_eq!(store.update("PROD-001", -1, "k1").await.status(), 200);
    assert_eq!(store.available("PROD-001").await, Some(4));
    assert_eq!(store.status().await["fullSyncs"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_restarted_without_central_serves_what_it_had() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    central.put("PROD-002", 2);
    store.live_at(4).await;
    central.vanish().await;
    let store = store.restart().await;
    // Immediately: nothing is waited for.
    let answer = store.get("/v1/store/inventory/PROD-002").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-sync-offset"), Some("4"));
    assert!(
        header(&answer, "age").unwrap().parse::<u64>().unwrap() > 60,
        "old events, so old answers"
    );
    assert_eq!(answer.json::<Value>().await.unwrap()["available"], 2);
    assert_eq!(
        store.get_json("/v1/store/inventory").await["pagination"]["total_count"],
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_sync_without_central_fails_and_keeps_the_copy() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let forced = store.post("/v1/store/sync/force", &json!({})).await;
    assert_eq!(forced.status(), 200);
    let body: Value = forced.json().await.unwrap();
    assert_eq!(body["message"], "Force sync completed successfully");
    assert_eq!(body["status"]["fullSyncs"], 2);
    central.vanish().await;
    let forced = store.post("/v1/store/sync/force", &json!({})).await;
    assert_eq!(forced.status(), 503);
    assert_eq!(
        forced.json::<Value>().await.unwrap()["code"],
        "central_unavailable"
    );
    assert_eq!(store.available("PROD-001").await, Some(10));
    let status = store.status().await;
    assert_eq!(
        (&status["lastSyncSuccess"], &status["productCount"]),
        (&json!(false), &json!(3))
    );
    assert!(status["errorMessage"].is_string());
    let stats = store.get_json("/v1/store/cache/stats").await;
    assert_eq!(stats["productCount"], 3);
    assert!(
        stats["storageSize"].as_u64().unwrap() > 100
            && stats["memoryUsage"].as_u64().unwrap() > 100
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_breaks_long_polls_does_not_stop_the_sync() {
    let central = FakeCentral::start(1).await;
    central.misbehave(|spoilt| spoilt.break_long_polls = true);
    let store = TestStore::start(&central.url()).await;
    for units in 2..6 {
        central.put("PROD-001", units);
        eventually("the change arrives", async || {
            store.available("PROD-001").await == Some(units)
        })
        .await;
    }
    assert_eq!(store.status().await["fullSyncs"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_hangs_is_noticed_and_left_for_the_next() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.hang_feed = true);
    central.put("PROD-001", 3);
    eventually("it is stale", async || store.state().await == "stale").await;
    assert_eq!(store.available("PROD-001").await, Some(10));
    central.misbehave(|spoilt| spoilt.hang_feed = false);
    store.live_at(2).await;
    assert_eq!(store.available("PROD-001").await, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_over_a_dead_line_is_given_up_within_the_timeout_and_says_so() {
    let central = FakeCentral::start(3).await;
    central.misbehave(|spoilt| spoilt.hang_feed = true);
    let begun = tokio::time::Instant::now();
    let store = TestStore::start(&central.url()).await;
    eventually("it says what it waited for", async || {
        let error = store.status().await["errorMessage"].clone();
        let error = error.as_str().unwrap_or_default();
        error.contains("did not begin to send a snapshot in time")
    })
    .await;
    // Half a second is the timeout here; a snapshot that is on its way may stall for twenty.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    central.misbehave(|spoilt| spoilt.hang_feed = false);
    store.live_at(3).await;
}
