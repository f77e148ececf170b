//! Central's log is no longer the one that the store followed.

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually};

async fn ends_equal(central: &FakeCentral, store: &TestStore, full_syncs: u64) {
    store.live_at(central.offset()).await;
    eventually("the digest is central's", async || {
        let heartbeat = central.heartbeat_of("store-s1").unwrap_or_default();
        heartbeat["digest"] == central.digest()
    })
    .await;
    assert_eq!(store.status().await["fullSyncs"], full_syncs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_noticed_although_its_offsets_grow_past_ours() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    for units in 0..10 {
        central.put("PROD-001", units);
    }
    store.live_at(13).await;
    central.vanish().await;
    central.restore(6);
    // More has happened since the restore than was lost: by offsets alone nobody would notice.
    for units in 0..30 {
        central.put("PROD-002", units);
    }
    assert!(central.offset() > 13);
    central.appear().await;
    ends_equal(&central, &store, 2).await;
    assert_eq!(store.available("PROD-001").await, Some(2));
    assert_eq!(store.available("PROD-002").await, Some(29));
    // And the new copy is what a restart finds.
    let store = store.restart().await;
    store.live_at(central.offset()).await;
    assert_eq!(store.available("PROD-001").await, Some(2));
    assert_eq!(store.status().await["fullSyncs"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_central_is_followed_from_its_beginning() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    central.vanish().await;
    central.restore(0);
    central.appear().await;
    ends_equal(&central, &store, 2).await;
    assert_eq!(
        store.get_json("/v1/store/inventory").await["pagination"]["total_count"],
        0
    );
    central.put("NEW", 1);
    store.live_at(1).await;
    assert_eq!(store.available("NEW").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_copy_is_readable_while_the_new_log_cannot_be_loaded() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    central.vanish().await;
    central.restore(1);
    central.misbehave(|spoilt| spoilt.short_snapshot = 3);
    central.appear().await;
    eventually("a snapshot was tried", async || central.snapshots() >= 3).await;
    assert_eq!(
        store.available("PROD-003").await,
        Some(10),
        "flagged stale, but there"
    );
    ends_equal(&central, &store, 2).await;
    assert_eq!(store.available("PROD-003").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_retention_has_dropped_leads_to_a_snapshot() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    central.vanish().await;
    for units in 0..10 {
        central.put("PROD-001", units);
    }
    central.forget_below(8);
    central.appear().await;
    ends_equal(&central, &store, 2).await;
    assert_eq!(store.available("PROD-001").await, Some(9));
}
