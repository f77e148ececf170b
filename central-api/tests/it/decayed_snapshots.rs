//! A snapshot that has decayed on its disk: passed over by a start, and by the next snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::served::{Reply, Served, create, decide};

async fn sell(central: &Served, key: &str) -> Reply {
    let sale = json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key});
    central.post("/v1/inventory/updates", &[], &sale).await
}

async fn snapshot(central: &Served) {
    let published = Arc::clone(central.ledger.published());
    let taking = tokio::task::spawn_blocking(move || published.take_snapshot());
    taking.await.unwrap().unwrap();
}

fn newest(dir: &TempDir) -> PathBuf {
    let files = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
    files.map(|file| file.unwrap().path()).max().unwrap()
}

#[tokio::test]
async fn a_snapshot_that_has_decayed_is_not_copied_into_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 10)).await;
    for key in ["one", "two"] {
        sell(&central, key).await.expect(200);
        snapshot(&central).await;
    }
    central.stop().await;
    // A bit flips in the line of a key.
    let file = newest(&dir);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"two\""));
    std::fs::write(&file, text.replace("\"two\"", "\"tvo\"")).unwrap();

    let central = Served::start(&dir).await;
    sell(&central, "three").await.expect(200);
    snapshot(&central).await;
    assert_ne!(newest(&dir), file);
    central.stop().await;
    // What a start has of the keys is in the snapshot alone.
    let central = Served::start(&dir).await;
    let again = sell(&central, "two").await;
    again.expect(200);
    assert!(again.headers.contains_key("idempotent-replayed"));
    let left = central.get("/v1/inventory/A").await.expect(200);
    assert_eq!(left["available"], 7, "two was sold once");
    central.stop().await;
}
