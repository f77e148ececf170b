//! The examples of `/openapi.json`: one shop, a few groceries.
//!
//! A test sends every request of these to a real service, in the order of a day, and holds the
//! answers to the description; so they cannot grow old.

use serde_json::{Value, json};
pub use shared::service::openapi::examples::{
    cancelled_order, categories, feed, new_order, order, page, product, rate_limits,
    rate_limits_reset, settled_order, snapshot, undecided_order,
};

/// A file of products.
pub const CSV: &str = "productId,name,price,onHand\nGRO-0104,Espresso beans 1 kg,14.90,30\n";

/// What a live page hears: how the stores follow, and a sign of life.
pub const LIVE: &str = "event: sync\ndata: {\"gen\":\"8a7fd1e200aa31c4\",\"headOffset\":4,\
    \"oldestOffset\":0,\"stores\":{\"known\":1,\"online\":1,\"behind\":0,\"drifted\":0}}\n\n\
    event: ping\ndata: {}\n\n";

/// A product to be created.
pub fn new_product() -> Value {
    json!({
        "productId": "GRO-0101", "name": "Oat drink 1 l", "category": "Dairy alternatives",
        "sku": "OAT-1L", "barcode": "4006381333931", "price": 1.95, "lowStockThreshold": 6,
        "onHand": 24, "idempotencyKey": "delivery-2026-01-15-GRO-0101",
    })
}

/// What is to be changed of a product.
pub fn changed_product() -> Value {
    json!({"price": 1.85, "description": "Without added sugar.", "version": null})
}

/// One movement.
pub fn sale() -> Value {
    json!({
        "storeId": "store-s1", "productId": "GRO-0101", "delta": -2,
        "idempotencyKey": "till-3-receipt-0815", "reference": "receipt 0815",
    })
}

/// What it leads to.
pub fn sold() -> Value {
    json!({
        "productId": "GRO-0101", "newQuantity": 22, "newVersion": 2, "applied": true,
        "lastUpdated": "2026-01-15T10:30:00.123Z", "delta": -2,
        "idempotencyKey": "till-3-receipt-0815", "offset": 3,
    })
}

/// What is available of a product.
pub fn availability() -> Value {
    json!({
        "productId": "GRO-0101", "available": 22, "requested": 3, "isAvailable": true,
        "asOfOffset": 4,
    })
}

/// What is asked of several products.
pub fn check() -> Value {
    json!({"items": [{"productId": "GRO-0101", "quantity": 3}, {"productId": "GRO-0102", "quantity": 1}]})
}

/// What is available of them.
pub fn checked() -> Value {
    json!({
        "available": true,
        "items": [
            {"productId": "GRO-0101", "requested": 3, "available": 22, "inStock": true},
            {"productId": "GRO-0102", "requested": 1, "available": 40, "inStock": true},
        ],
    })
}

/// A count.
pub fn count() -> Value {
    json!({
        "lines": [{"productId": "GRO-0102", "counted": 38}],
        "countedBy": "Ada", "reference": "aisle 4", "idempotencyKey": "count-2026-01-15-aisle-4",
    })
}

/// What it leads to.
pub fn counted() -> Value {
    json!({
        "lines": [{
            "productId": "GRO-0102", "expected": 40, "counted": 38, "delta": -2, "newVersion": 2,
            "onHand": 38, "available": 38,
        }],
        "offset": 4,
    })
}

/// Products of which more is promised than there is.
pub fn shortfalls() -> Value {
    let mut row = product();
    if let Value::Object(row) = &mut row {
        row.insert("available".to_owned(), json!(-2));
        row.insert("reserved".to_owned(), json!(24));
        row.insert("since".to_owned(), json!("2026-01-15T10:30:00.123Z"));
        row.insert("sinceIsExact".to_owned(), json!(true));
        row.insert("reservationsAtRisk".to_owned(), json!(1));
        let at_risk = json!([{
            "reservationId": "cart-0815", "owner": "ann", "reference": "cart",
            "storeId": "store-s1", "quantity": 24, "createdAt": "2026-01-15T10:30:00.123Z",
            "expiresAt": "2026-01-15T10:45:00.123Z",
        }]);
        row.insert("reservations".to_owned(), at_risk);
    }
    json!({
        "shortfalls": [row],
        "pagination": {"offset": 0, "limit": 50, "total_count": 1, "has_more": false},
        "gen": "8a7fd1e200aa31c4", "asOfOffset": 4,
    })
}

/// A reservation.
pub fn reservation() -> Value {
    json!({
        "reservationId": "cart-0815", "owner": "ann", "reference": "cart", "storeId": "store-s1",
        "lines": [
            {"productId": "GRO-0101", "quantity": 2}, {"productId": "GRO-0102", "quantity": 1},
        ],
        "state": "active", "createdAt": "2026-01-15T10:30:00.123Z",
        "expiresAt": "2026-01-15T10:45:00.123Z",
    })
}

/// `value` with other members.
fn with(mut value: Value, members: Value) -> Value {
    if let (Value::Object(value), Value::Object(members)) = (&mut value, members) {
        value.extend(members);
    }
    value
}

/// Units to be held.
pub fn new_reservation() -> Value {
    json!({
        "reservationId": "cart-0815", "owner": "ann", "reference": "cart", "storeId": "store-s1",
        "lines": [
            {"productId": "GRO-0101", "quantity": 2}, {"productId": "GRO-0102", "quantity": 1},
        ],
        "ttlSeconds": 900, "idempotencyKey": "reserve-cart-0815",
    })
}

/// That they are held.
pub fn reserved() -> Value {
    with(reservation(), json!({"asOfOffset": 7}))
}

/// Reservations.
pub fn reservations() -> Value {
    json!({"reservations": [reservation()], "gen": "8a7fd1e200aa31c4", "asOfOffset": 7})
}

/// That they are to be held longer.
pub fn extend() -> Value {
    json!({"ttlSeconds": 600, "idempotencyKey": "extend-cart-0815"})
}

/// That they are to leave the house.
pub fn commit() -> Value {
    json!({"reacquire": true, "idempotencyKey": "commit-cart-0815"})
}

/// That they have.
pub fn committed() -> Value {
    let resolved = json!({"state": "committed", "resolvedAt": "2026-01-15T10:40:00.123Z"});
    with(reserved(), resolved)
}

/// That they are to be given back.
pub fn release() -> Value {
    json!({"idempotencyKey": "release-counter-7"})
}

/// That they are free.
pub fn released() -> Value {
    let resolved = json!({"state": "released", "resolvedAt": "2026-01-15T10:40:00.123Z"});
    with(reserved(), resolved)
}

/// Units of one product to be held.
pub fn reserve_product() -> Value {
    json!({
        "quantity": 3, "reservationId": "counter-7", "storeId": "store-s1",
        "idempotencyKey": "reserve-counter-7",
    })
}

/// That they are.
pub fn product_reserved() -> Value {
    json!({
        "productId": "GRO-0101", "reserved": 3, "available": 17, "totalReserved": 5,
        "reservationId": "counter-7", "owner": "store-s1", "storeId": "store-s1",
        "lines": [{"productId": "GRO-0101", "quantity": 3}],
        "state": "active", "createdAt": "2026-01-15T10:30:00.123Z",
        "expiresAt": "2026-01-15T10:45:00.123Z", "asOfOffset": 8,
    })
}

/// Which of them are to be given back.
pub fn release_product() -> Value {
    json!({"reservationId": "counter-7", "idempotencyKey": "release-counter-7-again"})
}

/// That they are free.
pub fn product_released() -> Value {
    let resolved = json!({
        "reserved": 0, "released": 3, "available": 20, "totalReserved": 2, "state": "released",
        "resolvedAt": "2026-01-15T10:40:00.123Z", "asOfOffset": 9,
    });
    with(product_reserved(), resolved)
}

/// What happened to a product.
pub fn history() -> Value {
    json!({
        "productId": "GRO-0101",
        "entries": [{
            "offset": 3, "eventType": "product_updated",
            "cause": {
                "kind": "sale", "actor": "store-s1", "storeId": "store-s1",
                "idempotencyKey": "till-3-receipt-0815", "requestId": "8d1f6c02-17", "delta": -2,
                "reason": "sale", "reference": "receipt 0815",
            },
            "timestamp": "2026-01-15T10:30:00.123Z",
            "before": {"onHand": 24, "reserved": 0, "allotted": 0, "available": 24},
            "after": {"onHand": 22, "reserved": 0, "allotted": 0, "available": 22},
            "version": 2,
        }],
    })
}

/// A store's report.
pub fn heartbeat() -> Value {
    json!({
        "appliedOffset": 4, "gen": "8a7fd1e200aa31c4", "digest": "90aa31c48a7fd1e2",
        "breaker": "closed", "startedAt": "2026-01-15T08:00:00.000Z", "version": "0.1.0",
    })
}

/// What is known of a store.
pub fn store() -> Value {
    json!({
        "storeId": "store-s1", "online": true, "lastHeartbeat": "2026-01-15T10:30:00.123Z",
        "appliedOffset": 4, "lagEvents": 0, "lagSeconds": 0.0, "gen": "8a7fd1e200aa31c4",
        "digest": "90aa31c48a7fd1e2", "drift": "none", "breaker": "closed",
        "startedAt": "2026-01-15T08:00:00.000Z", "version": "0.1.0",
    })
}

/// Who follows.
pub fn stores() -> Value {
    json!({
        "stores": [store()],
        "pagination": {"offset": 0, "limit": 50, "total_count": 1, "has_more": false},
        "headOffset": 4, "asOfOffset": 4, "gen": "8a7fd1e200aa31c4",
    })
}

/// Products to be created, seed 003's way.
pub fn seed_create() -> Value {
    json!({"products": [
        {"productId": "GRO-0102", "name": "Rye bread 500 g", "available": 40, "price": 3.2},
        {"productId": "GRO-0103", "name": "Honey 250 g", "available": 12, "price": 5.49},
    ]})
}

/// Products to be changed, seed 003's way.
pub fn seed_set() -> Value {
    json!({"products": [{"productId": "GRO-0103", "available": 11, "price": 4.99}]})
}

/// Products to be deleted, seed 003's way.
pub fn seed_delete() -> Value {
    json!({"productIds": ["GRO-0103"]})
}

/// What became of one item, counted as `succeeded` and `failed`.
pub fn seed_answer(succeeded: &str, failed: &str) -> Value {
    json!({
        "results": [{
            "productId": "GRO-0103", "success": true, "newVersion": 1,
            "lastUpdated": "2026-01-15T10:30:00.123Z",
        }],
        "summary": {"totalRequests": 1, succeeded: 1, failed: 0},
    })
}

/// What an import led to.
pub fn imported() -> Value {
    json!({
        "rows": 2, "created": 1, "updated": 0, "unchanged": 0, "rejected": 1,
        "errors": [{"line": 3, "column": "price", "value": "-1", "issue": "must not be negative"}],
        "complete": true,
    })
}

/// What the service is.
pub fn info() -> Value {
    json!({
        "service": "central-api", "version": "0.1.0", "name": "Holdfast", "currency": "USD",
        "gen": "8a7fd1e200aa31c4", "headOffset": 4, "oldestOffset": 0,
        "orderHeadOffset": 3, "orderOldestOffset": 0,
        "limits": {
            "batchLines": 1000, "bodyBytes": 1_048_576, "deltaUnits": 1_000_000_000,
            "feedLimit": 1000, "feedWaitSeconds": 60, "pageByOffset": 200, "pageByCursor": 1000,
            "reservationTtlSecondsDefault": 900, "reservationTtlSecondsMax": 86_400,
            "reservationLifeSecondsMax": 604_800,
        },
        "retention": {"idempotencyHours": 168, "idempotencyKeys": 2_000_000, "eventHours": 0},
        "features": ["inventory", "products", "feed", "snapshots", "counts", "history", "orders", "import", "export", "stores", "reservations"],
        "faultInjection": false,
    })
}

/// How it is.
pub fn health() -> Value {
    json!({
        "status": "healthy", "service": "central-api", "version": "0.1.0",
        "timestamp": "2026-01-15T10:30:00.123Z",
        "checks": {
            "writer": {"status": "healthy", "queued": 0, "heldUpSeconds": 0},
            "journal": {"status": "healthy", "headOffset": 4, "durableSecondsAgo": 2, "bytes": 4_096, "segments": 1},
            "disk": {"status": "healthy", "freeBytes": 41_231_686_041_i64, "totalBytes": 64_424_509_440_i64},
            "followers": {"status": "healthy", "known": 4, "online": 4, "behind": 0, "drifted": 0, "lagEventsMax": 0},
        },
    })
}

/// A breaker as it stands.
pub fn breaker() -> Value {
    json!({
        "name": "payments", "state": "closed", "successes": 1204, "failures": 3, "rejected": 0,
        "timeouts": 2, "latencyMs": {"p50": 181.4, "p99": 902.7},
    })
}

/// Every breaker.
pub fn breakers() -> Value {
    json!({"circuitBreakers": [breaker()]})
}
