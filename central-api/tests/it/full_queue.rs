//! What a caller is told when too many wait for the writer.

use std::sync::Arc;

use central_api::journal::Journal as _;
use central_api::journal::memory::MemoryJournal;
use central_api::ledger::Request;
use futures_util::future::poll_immediate;
use serde_json::json;
use shared::domain::inventory::fingerprint;
use shared::domain::origin::Origin;
use shared::limits;

use crate::harness::eventually;
use crate::served::{Served, create, decide, movement};

fn sale() -> Request {
    let command = movement("A", -1);
    Request {
        origin: Origin::internal("test"),
        fingerprint: fingerprint(&command, None),
        command: command.into(),
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_the_same_key_works_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::default();
    let central = Served::start_in_memory(&dir, &log).await;
    let ledger = &central.ledger;
    decide(ledger, create(["A".to_owned()], 100_000)).await;
    let before = ledger.published().head();
    eventually("the writer rests", async || ledger.held_up().is_zero()).await;
    let mut other = MemoryJournal::new(Arc::clone(&log));
    other.begin().unwrap();
    // The writer takes the first along, and waits for the right to write.
    let mut first = Box::pin(ledger.submit(vec![sale()]));
    assert!(poll_immediate(&mut first).await.is_none());
    eventually("the writer came by", async || ledger.queue_depth() == 0).await;
    let many = (0..limits::WRITER_QUEUE).map(|_| sale()).collect();
    let mut many = Box::pin(ledger.submit(many));
    assert!(poll_immediate(&mut many).await.is_none());
    assert_eq!(ledger.queue_depth(), limits::WRITER_QUEUE);

    let body = json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": "k"});
    let updates = "/v1/inventory/updates";
    let refused = central.post(updates, &[], &body).await;
    let problem = refused.expect(503);
    assert_eq!(problem["code"], "overloaded", "{problem}");
    assert_eq!(problem["retryable"], true, "{problem}");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(ledger.queue_depth(), limits::WRITER_QUEUE);
    assert_eq!(ledger.published().head(), before);

    other.abandon();
    first.await.unwrap();
    many.await.unwrap();
    let sold = ledger.published().head().offset - before.offset;
    assert_eq!(sold, 1 + limits::WRITER_QUEUE as u64, "not the refused one");
    let applied = central.post(updates, &[], &body).await.expect(200);
    let left = 100_000 - 2 - limits::WRITER_QUEUE;
    assert_eq!(applied["newQuantity"], left, "{applied}");
    assert_eq!(applied["offset"], before.offset + sold);
    central.stop().await;
}
