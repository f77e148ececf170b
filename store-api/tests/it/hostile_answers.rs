//! Answers that are wrong in every way that was met elsewhere. The copy must never take them in.

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually};

/// Runs a store through `spoil` and expects it to end equal to central.
async fn survives(what: &str, spoil: impl FnOnce(&FakeCentral), full_syncs: u64) {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    spoil(&central);
    central.put("PROD-001", 1);
    central.put("PROD-002", 2);
    store.live_at(5).await;
    assert_eq!(store.available("PROD-001").await, Some(1), "{what}");
    assert_eq!(store.available("PROD-002").await, Some(2), "{what}");
    eventually("the digest is central's", async || {
        let heartbeat = central.heartbeat_of("store-s1").unwrap_or_default();
        heartbeat["digest"] == central.digest()
    })
    .await;
    assert_eq!(store.status().await["fullSyncs"], full_syncs, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage() {
    survives(
        "garbage",
        |central| central.misbehave(|spoilt| spoilt.garbage = 2),
        1,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_off() {
    survives(
        "cut",
        |central| central.misbehave(|spoilt| spoilt.truncate = 2),
        1,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_skips_an_event_is_discarded() {
    survives(
        "skip",
        |central| central.misbehave(|spoilt| spoilt.skip_one = 2),
        1,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_keep_skipping_lead_to_a_snapshot() {
    survives(
        "skips",
        |central| central.misbehave(|spoilt| spoilt.skip_one = 3),
        2,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_digest_at_the_same_offset_leads_to_a_snapshot() {
    survives(
        "digest",
        |central| central.misbehave(|spoilt| spoilt.wrong_digest = 1),
        2,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cache_with_the_last_generations_answer() {
    let stale = |central: &FakeCentral| {
        // What a cache kept from before central restarted: right offset, other generation.
        let old = central.page(3);
        central.new_generation();
        central.put("PROD-003", 9);
        old
    };
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let old = stale(&central);
    store.live_at(4).await;
    let old_at_four = String::from_utf8_lossy(&old)
        .replace("\"nextOffset\":3", "\"nextOffset\":4")
        .replace("\"headOffset\":3", "\"headOffset\":4");
    central.misbehave(|spoilt| spoilt.replay = Some((2, old_at_four.into())));
    central.put("PROD-001", 1);
    store.live_at(5).await;
    assert_eq!(store.available("PROD-001").await, Some(1));
    let status = store.status().await;
    assert_eq!(
        status["gen"], "00000000000000b1",
        "the old generation never comes back"
    );
    assert_eq!(status["fullSyncs"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_cut_off_is_not_installed() {
    let central = FakeCentral::start(3).await;
    central.misbehave(|spoilt| spoilt.short_snapshot = 2);
    let store = TestStore::start(&central.url()).await;
    eventually("two were cut", async || central.snapshots() >= 2).await;
    store.live_at(3).await;
    assert_eq!(store.status().await["fullSyncs"], 1);
    assert_eq!(central.snapshots(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_central_is_asked_a_few_times_and_not_thousands() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let before = central.polls();
    // Three side questions at one a second; the long poll is one.
    eventually("some seconds have passed", async || {
        central.polls() >= before + 3
    })
    .await;
    let status = store.status().await;
    assert_eq!(status["state"], "live");
    assert!(
        central.polls() < before + 6,
        "{} questions",
        central.polls() - before
    );
}
