//! The wire of seed 003's stores: what their clients send, and what they must get.
//!
//! The table is the stores' part of a session that was recorded with that system, in order, in our
//! own form, and it is played against the real programs: most of what a store says of a movement is
//! central's word. How answers are held against it is [`shared::testing::recorded`]: status, content
//! type, every member; seed 003's stores sent no other header that means something. The calls that the
//! session made to central itself are held against central in its own tests, but for the one between
//! those to the store.
//!
//! Where our answer differs on purpose, the case says what it was and why.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use shared::testing::recorded::{content_type, differences};
use system_tests::process::{ADMIN_KEY, KEY, Service, client};

use crate::scene::{SHORT, converges};
use crate::till::send;

/// One recorded exchange.
struct Case {
    name: &'static str,
    method: Method,
    path: &'static str,
    key: Option<&'static str>,
    body: Option<&'static str>,
    status: u16,
    answer: &'static str,
}

fn get(name: &'static str, path: &'static str, status: u16, answer: &'static str) -> Case {
    Case {
        name,
        method: Method::GET,
        path,
        key: Some(KEY),
        body: None,
        status,
        answer,
    }
}

fn post(
    name: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    status: u16,
    answer: &'static str,
) -> Case {
    Case {
        method: Method::POST,
        body,
        ..get(name, path, status, answer)
    }
}

fn keyless(case: Case) -> Case {
    Case { key: None, ..case }
}

const UPDATES: &str = "/v1/store/inventory/updates";
const KEYBOARD: &str = r#"{"available":5,"lastUpdated":"<time>","name":"Mechanical Keyboard","price":149.5,"productId":"PROD-002","version":1}"#;
const STATUS: &str = r#"{"inProgress":false,"lastSyncTime":"<time>","lastSyncSuccess":true,"productCount":3,"syncDuration":"<number>"}"#;

fn reads() -> Vec<Case> {
    vec![
        keyless(get(
            "store health",
            "/health",
            200,
            r#"{"status":"healthy","service":"store-s1-api","version":"<text>","timestamp":"<time>"}"#,
        )),
        get(
            "store list",
            "/v1/store/inventory",
            200,
            r#"{"pagination":{"has_more":false,"limit":50,"offset":0,"total_count":3},"products":[{"available":7,"lastUpdated":"<time>","name":"Wireless Headphones","price":99.99,"productId":"PROD-001","version":4},{"available":5,"lastUpdated":"<time>","name":"Mechanical Keyboard","price":149.5,"productId":"PROD-002","version":1},{"available":0,"lastUpdated":"<time>","name":"USB-C Hub","price":49.99,"productId":"PROD-003","version":1}]}"#,
        ),
        get("store get", "/v1/store/inventory/PROD-002", 200, KEYBOARD),
        get(
            "store get unknown",
            "/v1/store/inventory/NOPE",
            404,
            r#"{"error":{"code":"product_not_found","message":"Product not found","details":{"productId":"NOPE"}}}"#,
        ),
        keyless(get(
            "store no key",
            "/v1/store/inventory",
            401,
            r#"{"error":"Missing API key"}"#,
        )),
    ]
}

fn writes() -> Vec<Case> {
    vec![
        // Delta and key were 0 and empty; they are filled in.
        post(
            "store update",
            UPDATES,
            Some(
                r#"{"storeId":"store-s1","productId":"PROD-002","delta":-1,"version":1,"idempotencyKey":"s1"}"#,
            ),
            200,
            r#"{"productId":"PROD-002","newQuantity":4,"newVersion":2,"delta":-1,"idempotencyKey":"s1","applied":true}"#,
        ),
        post(
            "store update conflict",
            UPDATES,
            Some(
                r#"{"storeId":"store-s1","productId":"PROD-002","delta":-1,"version":1,"idempotencyKey":"s2"}"#,
            ),
            409,
            r#"{"errorMessage":"version conflict: expected 2, got 1","errorType":"version_conflict","lastUpdated":"<time>","newQuantity":4,"newVersion":2,"productId":"PROD-002"}"#,
        ),
        // Was 400: central's refusals keep their status.
        post(
            "store update insufficient",
            UPDATES,
            Some(
                r#"{"storeId":"store-s1","productId":"PROD-003","delta":-5,"version":1,"idempotencyKey":"s3"}"#,
            ),
            409,
            r#"{"errorMessage":"insufficient inventory: current 0, delta -5","errorType":"insufficient_inventory","newQuantity":0,"productId":"PROD-003"}"#,
        ),
        post(
            "store update unknown",
            UPDATES,
            Some(
                r#"{"storeId":"store-s1","productId":"NOPE","delta":-5,"version":1,"idempotencyKey":"s4"}"#,
            ),
            404,
            r#"{"errorMessage":"product not found: NOPE","errorType":"product_not_found","newQuantity":0,"productId":"NOPE"}"#,
        ),
        // Totals, delta, key and store were 0 and empty; they are filled in.
        post(
            "store batch",
            "/v1/store/inventory/batch-updates",
            Some(
                r#"{"storeId":"store-s1","updates":[{"productId":"PROD-002","delta":-1,"version":2,"idempotencyKey":"s5"}]}"#,
            ),
            200,
            r#"{"storeId":"store-s1","results":[{"productId":"PROD-002","newQuantity":3,"newVersion":3,"delta":-1,"idempotencyKey":"s5","applied":true}],"totalCount":1,"successCount":1,"failureCount":0}"#,
        ),
    ]
}

fn sync() -> Vec<Case> {
    const FORCED: &str = r#"{"message":"Force sync completed successfully","status":{"inProgress":false,"lastSyncTime":"<time>","lastSyncSuccess":true,"productCount":3,"syncDuration":"<number>"}}"#;
    vec![
        get("store sync status", "/v1/store/sync/status", 200, STATUS),
        post(
            "store force sync",
            "/v1/store/sync/force",
            None,
            200,
            FORCED,
        ),
        get(
            "store cache stats",
            "/v1/store/cache/stats",
            200,
            r#"{"productCount":3,"lastSyncTime":"<time>","storageSize":"<number>","memoryUsage":"<number>","initializedAt":"<time>","lastUpdateTime":"<time>"}"#,
        ),
    ]
}

fn without_central() -> Vec<Case> {
    vec![
        get(
            "store list, central down",
            "/v1/store/inventory?limit=1",
            200,
            r#"{"pagination":{"has_more":true,"limit":1,"offset":0,"total_count":3},"products":[{"available":7,"lastUpdated":"<time>","name":"Wireless Headphones","price":99.99,"productId":"PROD-001","version":4}]}"#,
        ),
        // Was 500 and `server_error`, "Internal server error occurred": nothing is wrong here, and
        // nothing has happened. The figure is 0 there too.
        post(
            "store update, central down",
            UPDATES,
            Some(
                r#"{"storeId":"store-s1","productId":"PROD-002","delta":-1,"version":1,"idempotencyKey":"s9"}"#,
            ),
            503,
            r#"{"errorMessage":"<text>","errorType":"central_unavailable","newQuantity":0,"productId":"PROD-002"}"#,
        ),
        // Was 503 and `unhealthy`: a store with a copy does its work without central.
        keyless(get(
            "store health, central down",
            "/health",
            200,
            r#"{"status":"degraded","service":"store-s1-api","version":"<text>","timestamp":"<time>"}"#,
        )),
        // Was 500, and the error told central's address.
        post(
            "store force sync, central down",
            "/v1/store/sync/force",
            None,
            503,
            r#"{"error":{"code":"sync_failed","message":"Force sync failed","details":{"error":"<text>"}}}"#,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange_of_a_store_is_answered_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut central = Service::central(&dir.path().join("central")).await.unwrap();
    let client = client().unwrap();
    stock(&client, &central).await;
    let folder = dir.path().join("store");
    let store = Service::store_with("store-s1", &folder, central.address(), &SHORT);
    let store = store.await.unwrap();
    converges(&client, &central, &store).await;
    for case in reads() {
        exchange(&client, &store, case).await;
    }
    let at_central = get(
        "central get before store update",
        "/v1/inventory/PROD-002",
        200,
        KEYBOARD,
    );
    exchange(&client, &central, at_central).await;
    for case in [writes(), sync()].into_iter().flatten() {
        exchange(&client, &store, case).await;
    }
    let before = exchange(&client, &store, left()).await;
    central.kill().unwrap();
    for case in without_central() {
        exchange(&client, &store, case).await;
    }
    // Not even the copy has changed.
    assert_eq!(exchange(&client, &store, left()).await, before);
}

/// What the session has left of the product that it sold; not one of its exchanges.
fn left() -> Case {
    let answer = r#"{"available":3,"version":3}"#;
    get("what is left", "/v1/store/inventory/PROD-002", 200, answer)
}

/// Brings central to where the session's first part left it.
async fn stock(client: &Client, central: &Service) {
    let products = json!({"products": [
        {"productId": "PROD-001", "name": "Wireless Headphones", "available": 10, "price": 99.99},
        {"productId": "PROD-002", "name": "Mechanical Keyboard", "available": 5, "price": 149.5},
        {"productId": "PROD-003", "name": "USB-C Hub", "available": 0, "price": 49.99},
    ]});
    let request = client
        .post(central.url("/v1/admin/products/create"))
        .header("X-API-Key", ADMIN_KEY)
        .json(&products);
    assert_eq!(request.send().await.unwrap().status(), 200);
    for sale in 1..=3 {
        let body = json!({"storeId": "store-s1", "productId": "PROD-001", "delta": -1, "idempotencyKey": format!("k{sale}")});
        let url = central.url("/v1/inventory/updates");
        assert_eq!(send(client, &url, &body).await.unwrap().status, 200);
    }
}

/// Plays one exchange with `service`; the answer, for whoever wants to see more of it.
async fn exchange(client: &Client, service: &Service, case: Case) -> Value {
    let Case {
        name,
        method,
        path,
        key,
        body,
        status,
        answer,
    } = case;
    let mut request = client.request(method, service.url(path));
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    if let Some(body) = body {
        let json = "application/json";
        request = request.header("Content-Type", json).body(body);
    }
    let found = request.send().await.unwrap();
    let found_status = found.status().as_u16();
    let found_type = found.headers()["content-type"].clone();
    let found: Value = found.json().await.unwrap();
    assert_eq!(found_status, status, "{name}: {found}");
    assert_eq!(found_type, content_type(status), "{name}");
    if status >= 400 {
        for member in ["code", "message", "title", "requestId"] {
            assert!(found[member].is_string(), "{name}: no {member} in {found}");
        }
    }
    let expected = serde_json::from_str(answer).unwrap();
    let differences = differences(&expected, &found, name);
    assert!(differences.is_empty(), "{differences:#?}\n{found}");
    found
}
