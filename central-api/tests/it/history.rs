//! A product's past: every change, every refusal, and how it stood.

use serde_json::{Value, json};

use crate::harness::sorted_fields;
use crate::served::{SHOP, Served, create, decide, delete, id, movement, movements};

/// Sells units of `product` as store `store-s1`; answers the status.
async fn sell(central: &Served, product: &str, units: i64, key: &str) -> u16 {
    let body = json!({
        "storeId": "store-s1", "productId": product, "delta": -units, "idempotencyKey": key,
    });
    let headers = [("x-api-key", SHOP), ("x-request-id", key)];
    let reply = central.post("/v1/inventory/updates", &headers, &body);
    reply.await.status.as_u16()
}

fn column(page: &Value, pointer: &str) -> Vec<Value> {
    let entries = page["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry.pointer(pointer).cloned().unwrap_or_default())
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story of one product")]
async fn every_change_and_every_refusal_is_there_even_after_a_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = ["A", "B"].map(str::to_owned);
    decide(&central.ledger, create(ids, 10)).await;
    assert_eq!(sell(&central, "A", 3, "k1").await, 200);
    assert_eq!(sell(&central, "A", 8, "k2").await, 409);
    assert_eq!(sell(&central, "B", 1, "k3").await, 200);
    decide(&central.ledger, movements([("A", 5), ("B", 1), ("A", -1)])).await;
    decide(&central.ledger, delete("A")).await;
    assert_eq!(sell(&central, "A", 1, "k4").await, 404);
    decide(&central.ledger, create(["A".to_owned()], 2)).await;

    let page = central.get("/v1/inventory/A/history").await.expect(200);
    assert_eq!(
        column(&page, "/eventType"),
        [
            "product_created",
            "refused",
            "product_deleted",
            "product_updated",
            "product_updated",
            "refused",
            "product_updated",
            "product_created",
        ]
    );
    assert_eq!(
        column(&page, "/before/available"),
        [0, 11, 11, 12, 7, 7, 10, 0].map(Value::from)
    );
    assert_eq!(
        column(&page, "/after/available"),
        [2, 11, 11, 11, 12, 7, 7, 10].map(Value::from)
    );
    assert_eq!(
        column(&page, "/version"),
        [6, 5, 5, 4, 3, 2, 2, 1].map(Value::from)
    );
    let refused = &page["entries"][5];
    assert_eq!(refused["code"], "insufficient_inventory");
    assert_eq!(refused["requested"], -8);
    assert_eq!(refused["cause"]["storeId"], "store-s1");
    assert_eq!(refused["cause"]["idempotencyKey"], "k2");
    assert_eq!(refused["cause"]["requestId"], "k2");
    assert!(refused.get("offset").is_none(), "refusals are no events");
    assert_eq!(page["entries"][6]["cause"]["kind"], "sale");
    assert_eq!(page["entries"][6]["offset"], 2);
    assert!(page.get("nextBefore").is_none());

    // Page by page it is the same.
    let mut walked = Vec::new();
    let mut path = "/v1/inventory/A/history?limit=1".to_owned();
    loop {
        let page = central.get(&path).await.expect(200);
        walked.extend(page["entries"].as_array().unwrap().clone());
        let Some(before) = page.get("nextBefore") else {
            break;
        };
        path = format!("/v1/inventory/A/history?limit=1&before={before}");
    }
    assert_eq!(Value::from(walked), page["entries"]);

    let refusals = central.get("/v1/inventory/A/history?kind=refused").await;
    assert_eq!(
        column(&refusals.expect(200), "/before/available"),
        [11, 7].map(Value::from)
    );
    let sales = central
        .get("/v1/inventory/A/history?kind=sale&storeId=store-s1")
        .await;
    assert_eq!(
        column(&sales.expect(200), "/cause/delta"),
        [-3].map(Value::from)
    );
    let time = &page["entries"][0]["timestamp"].as_str().unwrap();
    let later = central
        .get(&format!(
            "/v1/inventory/A/history?to={time}&from=2000-01-01T00:00:00Z"
        ))
        .await;
    assert_eq!(later.expect(200)["entries"], page["entries"]);
    let never = central
        .get("/v1/inventory/A/history?to=2000-01-01T00:00:00Z")
        .await;
    assert_eq!(never.expect(200)["entries"], json!([]));
    central.stop().await;
}

#[tokio::test]
async fn a_product_is_shown_as_it_stood_at_an_offset_or_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["B".to_owned()], 1)).await;
    decide(&central.ledger, create(["A".to_owned()], 10)).await;
    let sold = decide(&central.ledger, movement("A", -3)).await;
    decide(&central.ledger, movements([("A", -1), ("A", -1)])).await;
    decide(&central.ledger, delete("A")).await;
    let at = |moment: String| {
        let central = &central;
        async move {
            let path = format!("/v1/inventory/A/history?at={moment}");
            central.get(&path).await
        }
    };
    for (offset, on_hand) in [(2, 10), (3, 7), (4, 6), (5, 5)] {
        let stood = at(offset.to_string()).await.expect(200);
        assert_eq!(stood["product"]["onHand"], on_hand, "at {offset}");
        assert_eq!(stood["offset"], offset - 1);
        assert_eq!(stood["live"], true);
    }
    let gone = at("6".to_owned()).await.expect(200);
    assert_eq!(gone["live"], false);
    assert_eq!(gone["product"]["onHand"], 5);
    assert_eq!(
        at("1".to_owned()).await.expect(404)["code"],
        "product_not_found"
    );
    let ahead = at("7".to_owned()).await.expect(400);
    assert_eq!(ahead["details"][0]["field"], "query.at");

    let then = at(sold.at.to_string()).await.expect(200);
    assert!(then["offset"].as_u64().unwrap() >= 2);
    assert_eq!(at("2000-01-01T00:00:00Z".to_owned()).await.status, 404);
    assert_eq!(at("yesterday".to_owned()).await.status, 400);
    central.stop().await;
}

#[tokio::test]
async fn every_fault_of_the_query_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 1)).await;
    let reply = central
        .get("/v1/inventory/A/history?limit=0&before=x&kind=magic&storeId=a%20b&from=1&page=2")
        .await
        .expect(400);
    assert_eq!(
        sorted_fields(&reply),
        [
            "query.before",
            "query.from",
            "query.kind",
            "query.limit",
            "query.page",
            "query.storeId",
        ]
    );
    let missing = central.get("/v1/inventory/nope/history").await;
    assert_eq!(missing.expect(404)["productId"], "nope");
    central.stop().await;
}

#[tokio::test]
async fn history_says_where_it_begins_when_retention_has_dropped_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start_with(&dir, |config| config.segment_bytes = 1_000).await;
    decide(&central.ledger, create(["A".to_owned()], 100)).await;
    for _ in 0..20 {
        decide(&central.ledger, movement("A", -1)).await;
    }
    let published = central.ledger.published();
    let journal = &published.journal;
    journal.drop_before(published.head().seq - 3).unwrap();
    let oldest = journal.oldest().offsets.inventory;
    assert!(oldest > 5);
    let page = central.get("/v1/inventory/A/history").await.expect(200);
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len() as u64, published.head().offset - oldest);
    assert_eq!(page["beginsAtOffset"], oldest);
    let last = entries.last().unwrap();
    assert!(last.get("before").is_none(), "it is not known any more");
    assert!(last.get("after").is_some());
    let gone = central.get("/v1/inventory/A/history?at=2").await;
    let gone = gone.expect(410);
    assert_eq!(gone["oldestOffset"], oldest);
    assert_eq!(gone["snapshotUrl"], "/v1/inventory/snapshot");
    assert_eq!(
        central
            .ledger
            .view()
            .get(id("A").as_str())
            .unwrap()
            .available(),
        80
    );
    central.stop().await;
}
