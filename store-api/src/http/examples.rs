//! The examples of `/openapi.json` that only a store has; the others are
//! [`shared::service::openapi::examples`].
//!
//! A test sends every request of these to a store that follows a real central, and holds the answers
//! to the description; so they cannot grow old.

use serde_json::{Value, json};

/// What a live page hears: how the copy follows, and a sign of life.
pub const LIVE: &str = "event: sync\ndata: {\"inProgress\":false,\"lastSyncSuccess\":true,\
    \"productCount\":2,\"state\":\"live\",\"breaker\":\"closed\"}\n\nevent: ping\ndata: {}\n\n";

/// One movement.
pub(super) fn sale() -> Value {
    json!({
        "productId": "GRO-0101", "delta": -2, "idempotencyKey": "till-3-receipt-0815",
        "reference": "receipt 0815",
    })
}

/// What it leads to.
pub(super) fn sold() -> Value {
    json!({
        "productId": "GRO-0101", "newQuantity": 22, "newVersion": 2, "applied": true,
        "lastUpdated": "2026-01-15T10:30:00.123Z", "delta": -2,
        "idempotencyKey": "till-3-receipt-0815", "offset": 3,
    })
}

/// Several movements.
pub(super) fn sales() -> Value {
    json!({"updates": [
        {"productId": "GRO-0101", "delta": -1, "idempotencyKey": "till-3-receipt-0816-1"},
        {"productId": "GRO-0101", "delta": 1, "reason": "returned", "idempotencyKey": "till-3-receipt-0816-2"},
    ]})
}

fn line(delta: i64, quantity: i64, version: i64) -> Value {
    json!({
        "productId": "GRO-0101", "newQuantity": quantity, "newVersion": version, "applied": true,
        "lastUpdated": "2026-01-15T10:31:00.123Z", "delta": delta,
    })
}

/// What they lead to.
pub(super) fn sold_many() -> Value {
    json!({
        "results": [line(-1, 21, 3), line(1, 22, 4)],
        "summary": {"total": 2, "succeeded": 2, "failed": 0},
        "storeId": "store-s1", "totalCount": 2, "successCount": 2, "failureCount": 0,
    })
}

/// Movements of a store that follows this one, under its own keys.
pub(super) fn followers_sales() -> Value {
    json!({"storeId": "store-s7", "updates": [
        {"productId": "GRO-0101", "delta": -1, "idempotencyKey": "store-s7:till-1-receipt-1"},
    ]})
}

/// What they lead to.
pub(super) fn followers_sold() -> Value {
    json!({
        "results": [{
            "productId": "GRO-0101", "newQuantity": 21, "newVersion": 5, "applied": true,
            "lastUpdated": "2026-01-15T10:32:00.123Z",
        }],
        "summary": {"total": 1, "succeeded": 1, "failed": 0},
        "storeId": "store-s7", "totalCount": 1, "successCount": 1, "failureCount": 0,
    })
}

/// The report of a store that follows this one.
pub(super) fn heartbeat() -> Value {
    json!({
        "appliedOffset": 1, "gen": "8a7fd1e200aa31c4", "digest": "90aa31c48a7fd1e2",
        "breaker": "closed", "startedAt": "2026-01-15T08:00:00.000Z", "version": "0.1.0",
    })
}

/// What central knows of it.
pub(super) fn follower() -> Value {
    json!({
        "storeId": "store-s7", "online": true, "lastHeartbeat": "2026-01-15T10:30:00.123Z",
        "appliedOffset": 1, "lagEvents": 0, "lagSeconds": 0.0, "gen": "8a7fd1e200aa31c4",
        "digest": "90aa31c48a7fd1e2", "drift": "none", "breaker": "closed",
        "startedAt": "2026-01-15T08:00:00.000Z", "version": "0.1.0",
    })
}

/// How the sync goes.
pub(super) fn sync_status() -> Value {
    json!({
        "inProgress": false, "lastSyncTime": "2026-01-15T10:30:00.123Z", "lastSyncSuccess": true,
        "productCount": 2, "syncDuration": 41, "appliedOffset": 4, "centralHeadOffset": 4,
        "lagEvents": 0, "lagMs": 812, "gen": "8a7fd1e200aa31c4", "state": "live",
        "breaker": "closed", "fullSyncs": 1, "eventsApplied": 4, "persistent": true,
    })
}

/// That a full sync was done.
pub(super) fn forced() -> Value {
    json!({"message": "Force sync completed successfully", "status": sync_status()})
}

/// How large the copy is.
pub(super) fn cache_stats() -> Value {
    json!({
        "productCount": 2, "lastSyncTime": "2026-01-15T10:30:00.123Z", "storageSize": 8_192,
        "memoryUsage": 21_004_288, "initializedAt": "2026-01-15T08:00:00.000Z",
        "lastUpdateTime": "2026-01-15T10:30:00.123Z", "checkpoints": 1,
    })
}

/// The breaker of the calls to central.
pub(super) fn breaker() -> Value {
    json!({
        "name": "central", "state": "closed", "successes": 1204, "failures": 3, "rejected": 0,
        "timeouts": 2, "latencyMs": {"p50": 1.4, "p99": 12.7},
    })
}

/// Every breaker.
pub(super) fn breakers() -> Value {
    json!({"circuitBreakers": [breaker()]})
}

/// What the service is.
pub(super) fn info() -> Value {
    json!({
        "service": "store-api", "version": "0.1.0", "storeId": "store-s1", "name": "Mill Lane",
        "currency": "USD", "gen": "8a7fd1e200aa31c4", "headOffset": 4, "oldestOffset": 0,
        "limits": {
            "batchLines": 1000, "bodyBytes": 1_048_576, "deltaUnits": 1_000_000_000,
            "feedLimit": 1000, "feedWaitSeconds": 60, "pageByOffset": 200, "pageByCursor": 1000,
        },
        "retention": {"idempotencyHours": 168, "idempotencyKeys": 2_000_000, "eventHours": 0},
        "features": ["inventory", "orders", "relay", "live"],
    })
}

/// How it is.
pub(super) fn health() -> Value {
    json!({
        "status": "healthy", "service": "store-s1-api", "version": "0.1.0",
        "timestamp": "2026-01-15T10:30:00.123Z",
        "checks": {
            "cache": {"status": "healthy", "products": 2, "bytes": 8_192},
            "sync": {"status": "healthy", "state": "live", "ageSeconds": 0, "lagEvents": 0},
            "central": {"status": "healthy", "breaker": "closed"},
        },
    })
}
