//! What reservations are refused for before anything is decided, and what a decision refuses.

use serde_json::json;

use super::{figures, lines_of, post, post_as, stocked};
use crate::harness::sorted_fields;
use crate::served::{READER, SHOP};

#[tokio::test]
async fn every_line_that_is_short_is_listed_with_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let body =
        json!({"owner": "ann", "lines": lines_of(&[("A", 6), ("B", 1), ("A", 6), ("C", 99)])});
    let refused = post(&central, "/v1/reservations", "r", &body)
        .await
        .expect(409);
    assert_eq!(refused["code"], "insufficient_inventory");
    assert_eq!(
        sorted_fields(&refused),
        ["lines[0].quantity", "lines[3].quantity"]
    );
    assert_eq!(
        refused["lines"],
        json!([
            {"productId": "A", "code": "insufficient_inventory", "requested": 12, "available": 10, "version": 1},
            {"productId": "C", "code": "insufficient_inventory", "requested": 99, "available": 10, "version": 1},
        ])
    );
    for product in ["A", "B", "C"] {
        assert_eq!(figures(&central, product).await, (10, 0, 10));
        // The attempt stands in the history of each of them.
        let path = format!("/v1/inventory/{product}/history?kind=refused");
        let history = central.get(&path).await.expect(200);
        let entry = &history["entries"][0];
        assert_eq!(entry["cause"]["kind"], "reserve", "{history}");
    }
    let body = json!({"owner": "ann", "lines": lines_of(&[("X", 1)])});
    let missing = post(&central, "/v1/reservations", "x", &body)
        .await
        .expect(404);
    assert_eq!(missing["code"], "product_not_found");
    central.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_and_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let before = central.ledger.published().head();
    let body = json!({
        "owner": "a b", "reference": "", "reservationId": "x/y", "ttlSeconds": 86_401, "until": 3,
        "storeId": 7, "lines": [
            {"productId": "A", "quantity": 0}, {"quantity": 1.5}, {"productId": "A", "shelf": 1}, 5,
        ],
    });
    let headers = [("x-api-key", SHOP)];
    let refused = central
        .post("/v1/reservations", &headers, &body)
        .await
        .expect(400);
    assert_eq!(
        sorted_fields(&refused),
        [
            "idempotencyKey",
            "lines[0].quantity",
            "lines[1].productId",
            "lines[1].quantity",
            "lines[2].quantity",
            "lines[2].shelf",
            "lines[3]",
            "owner",
            "reference",
            "reservationId",
            "storeId",
            "ttlSeconds",
            "until",
        ]
    );
    let ttl = refused["details"].as_array().unwrap().iter();
    let mut ttl = ttl.filter(|detail| detail["field"] == "ttlSeconds");
    assert_eq!(ttl.next().unwrap()["issue"], "must be from 1 to 86400");
    let good = json!({"owner": "ann", "lines": lines_of(&[("A", 1)])});
    let keyless = central
        .post("/v1/reservations", &headers, &good)
        .await
        .expect(400);
    assert_eq!(keyless["code"], "idempotency_key_required");
    let empty = json!({"owner": "ann", "lines": []});
    let empty = post(&central, "/v1/reservations", "k", &empty)
        .await
        .expect(400);
    assert_eq!(sorted_fields(&empty), ["lines"]);
    let reader = post_as(&central, READER, "/v1/reservations", "k", &good).await;
    assert_eq!(reader.expect(403)["code"], "forbidden");
    assert_eq!(central.ledger.published().head(), before);
    central.stop().await;
}

#[tokio::test]
async fn every_fault_of_the_shorter_bodies_is_named_too() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let before = central.ledger.published().head();
    for (path, body, fields) in [
        (
            "/v1/reservations/r/commit",
            json!({"reacquire": 1, "x": 1}),
            vec!["reacquire", "x"],
        ),
        (
            "/v1/reservations/r/release",
            json!({"reacquire": true}),
            vec!["reacquire"],
        ),
        ("/v1/reservations/r/extend", json!({}), vec!["ttlSeconds"]),
        (
            "/v1/inventory/A/reserve",
            json!({"lines": []}),
            vec!["lines", "quantity"],
        ),
        (
            "/v1/inventory/A/release",
            json!({"quantity": 1}),
            vec!["quantity", "reservationId"],
        ),
    ] {
        let refused = post(&central, path, "k", &body).await.expect(400);
        assert_eq!(sorted_fields(&refused), fields, "{path}");
    }
    assert_eq!(central.ledger.published().head(), before);
    central.stop().await;
}
