//! Physical counts, and the shortfalls that they uncover.

use serde_json::{Value, json};

use crate::harness::sorted_fields;
use crate::served::{READER, SHOP, Served, create, decide, delete, id, movement};

async fn count(central: &Served, key: &str, body: &Value) -> crate::served::Reply {
    let headers = [("idempotency-key", key), ("x-api-key", SHOP)];
    central.post("/v1/inventory/counts", &headers, body).await
}

#[tokio::test]
async fn what_was_sold_after_the_count_is_sold_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = ["A", "B", "C"].map(str::to_owned);
    decide(&central.ledger, create(ids, 10)).await;
    decide(&central.ledger, movement("A", -2)).await;
    let basis = central.ledger.published().head().offset;
    decide(&central.ledger, movement("A", -3)).await;
    decide(&central.ledger, movement("B", -3)).await;

    let body = json!({"countedBy": "Ada", "reference": "walk-7", "lines": [
        {"productId": "A", "counted": 9, "basisOffset": basis},
        {"productId": "B", "counted": 6},
        {"productId": "C", "counted": 10, "basisOffset": 0},
    ]});
    let reply = count(&central, "c1", &body).await;
    let answer = reply.expect(200);
    let offset = central.ledger.published().head().offset - 3;
    assert_eq!(answer["offset"], offset);
    assert_eq!(
        answer["lines"][0],
        json!({"productId": "A", "expected": 8, "counted": 9, "delta": 1, "newVersion": 4,
            "onHand": 6, "available": 6})
    );
    assert_eq!(answer["lines"][1]["expected"], 7);
    assert_eq!(answer["lines"][1]["onHand"], 6);
    // Before it was created there was nothing: what it began with came on top of the count.
    assert_eq!(answer["lines"][2]["expected"], 0);
    assert_eq!(answer["lines"][2]["onHand"], 20);

    let again = count(&central, "c1", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.expect(200), answer);
    let mut other = body.clone();
    other["lines"][0]["counted"] = 8.into();
    let reused = count(&central, "c1", &other).await;
    assert_eq!(reused.expect(422)["code"], "idempotency_key_reused");

    let page = central.get("/v1/inventory/A/history?kind=counted").await;
    let entry = &page.expect(200)["entries"][0];
    assert_eq!(entry["cause"]["note"], "Ada");
    assert_eq!(entry["cause"]["reference"], "walk-7");
    assert_eq!(entry["cause"]["storeId"], "store-s1");
    central.stop().await;
}

#[tokio::test]
async fn a_count_can_leave_a_shortfall_which_is_listed_with_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = ["A", "B"].map(str::to_owned);
    decide(&central.ledger, create(ids, 10)).await;
    let basis = central.ledger.published().head().offset;
    decide(&central.ledger, movement("A", -8)).await;
    let lines = json!([{"productId": "A", "counted": 5, "basisOffset": basis}]);
    let body = json!({"countedBy": "Ada", "lines": lines});
    let answer = count(&central, "c1", &body).await.expect(200);
    assert_eq!(answer["lines"][0]["available"], -3);
    let short = central.ledger.view().get(id("A").as_str()).unwrap();
    let since = short.last_updated.to_string();
    // A delivery that is too small does not end it, nor does a refused sale.
    decide(&central.ledger, movement("A", 1)).await;
    decide(&central.ledger, movement("A", -1)).await;

    let listed = central.get("/v1/inventory/shortfalls").await.expect(200);
    assert_eq!(listed["pagination"]["total_count"], 1);
    let row = &listed["shortfalls"][0];
    assert_eq!(row["productId"], "A");
    assert_eq!(row["available"], -2);
    assert_eq!(row["since"], since.as_str());
    assert_eq!(row["sinceIsExact"], true);
    assert_eq!(row["reservations"], json!([]));
    decide(&central.ledger, movement("A", 2)).await;
    let listed = central.get("/v1/inventory/shortfalls").await.expect(200);
    assert_eq!(listed["shortfalls"], json!([]));
    let wrong = central.get("/v1/inventory/shortfalls?limit=x&q=1").await;
    assert_eq!(wrong.expect(400)["details"].as_array().unwrap().len(), 2);
    central.stop().await;
}

#[tokio::test]
async fn a_bad_count_changes_nothing_and_every_fault_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = ["A", "B"].map(str::to_owned);
    decide(&central.ledger, create(ids, 10)).await;
    decide(&central.ledger, delete("B")).await;
    let before = central.ledger.published().head();
    let body = json!({"lines": [
        {"productId": "A", "counted": -1},
        {"productId": "A", "counted": 1.5, "basisOffset": 99},
        {"productId": "a b", "counted": 1, "shelf": 3},
        {"productId": "A", "counted": 1}, {"productId": "A", "counted": 2},
        {"productId": "A", "countedTwice": true}, 7,
    ]});
    let reply = count(&central, "c1", &body).await.expect(400);
    assert_eq!(
        sorted_fields(&reply),
        [
            "countedBy",
            "lines[0].counted",
            "lines[1].basisOffset",
            "lines[1].counted",
            "lines[2].productId",
            "lines[2].shelf",
            "lines[4].productId",
            "lines[5].counted",
            "lines[5].countedTwice",
            "lines[6]",
        ]
    );
    let none = count(&central, "c1", &json!({"countedBy": "Ada", "lines": []})).await;
    assert_eq!(none.expect(400)["details"][0]["field"], "lines");
    let line = json!([{"productId": "A", "counted": 1}]);
    let keyless = json!({"countedBy": "Ada", "lines": line});
    let reply = central.post("/v1/inventory/counts", &[], &keyless).await;
    assert_eq!(reply.expect(400)["code"], "idempotency_key_required");
    let reader = [("x-api-key", READER), ("idempotency-key", "k")];
    let reply = central
        .post("/v1/inventory/counts", &reader, &keyless)
        .await;
    assert_eq!(reply.status, 403);

    let unknown = json!({"countedBy": "Ada", "lines": [
        {"productId": "A", "counted": 1}, {"productId": "B", "counted": 1},
        {"productId": "nope", "counted": 1, "basisOffset": 1},
    ]});
    for _ in 0..2 {
        let reply = count(&central, "c2", &unknown).await.expect(404);
        assert_eq!(reply["code"], "product_not_found");
        let named = ["lines[1].productId", "lines[2].productId"];
        assert_eq!(sorted_fields(&reply), named);
        assert_eq!(reply["detail"], "nothing was recorded: 2 lines are refused");
    }
    let one = json!({"countedBy": "Ada", "lines": [{"productId": "B", "counted": 1}]});
    let reply = count(&central, "c3", &one).await.expect(404);
    assert_eq!(reply["detail"], "nothing was recorded: 1 line is refused");
    let after = central.ledger.published().head();
    assert_eq!((after.offset, after.digest), (before.offset, before.digest));
    central.stop().await;
}
