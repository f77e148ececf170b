//! What goes on when the disk has no room for anything new, and what does not.

use std::sync::Arc;

use central_api::journal::memory::MemoryLog;
use serde_json::{Value, json};
use shared::limits::DISK_RESERVE;

use crate::harness::eventually;
use crate::served::{Served, create, decide};

const UPDATES: &str = "/v1/inventory/updates";

fn sale(key: &str) -> Value {
    json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key})
}

/// Lets central look at a disk with so many bytes free.
fn leave(central: &Served, log: &MemoryLog, free: u64) -> Option<bool> {
    log.leave_free(free);
    central.ledger.look_for_room()
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_reads_on_and_takes_it_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::<MemoryLog>::default();
    let central = Served::start_in_memory(&dir, &log).await;
    decide(&central.ledger, create(["A".to_owned()], 10)).await;
    let reserve = json!({"lines": [{"productId": "A", "quantity": 2}], "owner": "cart",
        "reference": "1", "storeId": "store-s1", "ttlSeconds": 2, "idempotencyKey": "hold"});
    central
        .post("/v1/reservations", &[], &reserve)
        .await
        .expect(201);
    assert_eq!(leave(&central, &log, DISK_RESERVE), None, "just enough");
    central.post(UPDATES, &[], &sale("one")).await.expect(200);

    assert_eq!(leave(&central, &log, DISK_RESERVE - 1), Some(true));
    for (path, body) in [
        (UPDATES, sale("two")),
        (UPDATES, json!({"updates": [sale("three")]})),
        ("/v1/reservations", reserve.clone()),
    ] {
        let refused = central.post(path, &[], &body).await;
        let problem = refused.expect(503);
        assert_eq!(problem["code"], "storage_full", "{path}: {problem}");
        assert_eq!(problem["retryable"], true, "{problem}");
        assert_eq!(refused.header("retry-after"), "5");
    }
    // Reads and the feed go on, and health says why changes do not.
    let feed = central
        .get("/v1/inventory/events?offset=0")
        .await
        .expect(200);
    assert!(!feed["events"].as_array().unwrap().is_empty());
    let health = central.get("/health").await.expect(200);
    let detail = health["checks"]["disk"]["detail"].as_str().unwrap();
    assert!(detail.contains("full"), "{health}");
    // What was begun is finished: the hold runs out and gives its units back.
    eventually("the hold ran out", async || {
        central.get("/v1/inventory/A").await.expect(200)["available"] == 9
    })
    .await;

    assert_eq!(leave(&central, &log, DISK_RESERVE), Some(false));
    central.post(UPDATES, &[], &sale("two")).await.expect(200);
    assert_eq!(
        central.get("/v1/inventory/A").await.expect(200)["available"],
        8
    );
    central.stop().await;
}
