//! The wire of seed 003: what its clients send, and what they must get.
//!
//! The table below is a recorded session with that system, in order, in our own form; how answers are
//! held against it is [`shared::testing::recorded`]: status, content type, every member. Offsets are
//! three later than recorded, because its first three products came from a file and ours are events.
//! Where the answer differs on purpose, the case says so. Its stores' part of the session is held
//! against ours with the real programs, in `system-tests`. The other headers that were recorded say how
//! often one may ask again; ours are numbers too, and also there where that system had none, as for a
//! path that does not exist. The table is one piece, however long it is.

use reqwest::Method;
use serde_json::{Value, json};
use shared::testing::recorded::{content_type, differences};

use crate::harness::{ADMIN_KEY, KEY, TestCentral, header};

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

const fn get(
    name: &'static str,
    path: &'static str,
    key: Option<&'static str>,
    status: u16,
    answer: &'static str,
) -> Case {
    Case {
        name,
        method: Method::GET,
        path,
        key,
        body: None,
        status,
        answer,
    }
}

/// A stock update with the till's key.
const fn update(name: &'static str, body: &'static str, status: u16, answer: &'static str) -> Case {
    let path = "/v1/inventory/updates";
    Case {
        name,
        method: Method::POST,
        path,
        key: Some(KEY),
        body: Some(body),
        status,
        answer,
    }
}

const fn admin(
    name: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
    status: u16,
    answer: &'static str,
) -> Case {
    Case {
        name,
        method,
        path,
        key: Some(ADMIN_KEY),
        body: Some(body),
        status,
        answer,
    }
}

const HEADPHONES: &str = r#"{"productId":"PROD-001","name":"Wireless Headphones","available":10,"version":1,"lastUpdated":"<time>","price":99.99}"#;

#[expect(clippy::too_many_lines, reason = "a table")]
fn reads() -> Vec<Case> {
    vec![
        get("health", "/health", None, 200, r#"{"status":"healthy"}"#),
        get(
            "no key",
            "/v1/inventory",
            None,
            401,
            r#"{"code":"unauthorized","message":"API key required"}"#,
        ),
        get(
            "bad key",
            "/v1/inventory",
            Some("nope"),
            401,
            r#"{"code":"unauthorized","message":"Invalid API key"}"#,
        ),
        get(
            "list",
            "/v1/inventory",
            Some(KEY),
            200,
            r#"{"pagination":{"has_more":false,"limit":50,"offset":0,"total_count":3},"products":[{"productId":"PROD-001","name":"Wireless Headphones","available":10,"version":1,"lastUpdated":"<time>","price":99.99},{"productId":"PROD-002","name":"Mechanical Keyboard","available":5,"version":1,"lastUpdated":"<time>","price":149.5},{"productId":"PROD-003","name":"USB-C Hub","available":0,"version":1,"lastUpdated":"<time>","price":49.99}]}"#,
        ),
        get(
            "list paged",
            "/v1/inventory?offset=1&limit=1",
            Some(KEY),
            200,
            r#"{"pagination":{"has_more":true,"limit":1,"offset":1,"total_count":3},"products":[{"productId":"PROD-002","name":"Mechanical Keyboard","available":5,"version":1,"lastUpdated":"<time>","price":149.5}]}"#,
        ),
        // Was a silent default.
        get(
            "list bad paging",
            "/v1/inventory?offset=-1&limit=abc",
            Some(KEY),
            400,
            r#"{"code":"invalid_request"}"#,
        ),
        get(
            "list limit above max",
            "/v1/inventory?limit=500",
            Some(KEY),
            200,
            r#"{"pagination":{"has_more":false,"limit":200,"offset":0,"total_count":3},"products":[{"productId":"PROD-001","name":"Wireless Headphones","available":10,"version":1,"lastUpdated":"<time>","price":99.99},{"productId":"PROD-002","name":"Mechanical Keyboard","available":5,"version":1,"lastUpdated":"<time>","price":149.5},{"productId":"PROD-003","name":"USB-C Hub","available":0,"version":1,"lastUpdated":"<time>","price":49.99}]}"#,
        ),
        get(
            "list beyond end",
            "/v1/inventory?offset=99",
            Some(KEY),
            200,
            r#"{"pagination":{"has_more":false,"limit":50,"offset":99,"total_count":3},"products":[]}"#,
        ),
        get("get", "/v1/inventory/PROD-001", Some(KEY), 200, HEADPHONES),
        // The code is that of every unknown product (was `not_found`).
        get(
            "get unknown",
            "/v1/inventory/NOPE",
            Some(KEY),
            404,
            r#"{"code":"product_not_found","message":"Product not found: NOPE"}"#,
        ),
        // Was a sentence of plain text.
        get(
            "unknown route",
            "/v1/nope",
            Some(KEY),
            404,
            r#"{"code":"not_found"}"#,
        ),
        // Was empty.
        Case {
            name: "wrong method",
            method: Method::DELETE,
            path: "/v1/inventory",
            key: Some(KEY),
            body: None,
            status: 405,
            answer: r#"{"code":"method_not_allowed"}"#,
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn updates() -> Vec<Case> {
    vec![
        update(
            "update",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-2,"version":1,"idempotencyKey":"k1"}"#,
            200,
            r#"{"productId":"PROD-001","newQuantity":8,"newVersion":2,"applied":true,"lastUpdated":"<time>"}"#,
        ),
        update(
            "update replay, same key",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-2,"version":1,"idempotencyKey":"k1"}"#,
            200,
            r#"{"productId":"PROD-001","newQuantity":8,"newVersion":2,"applied":true,"lastUpdated":"<time>"}"#,
        ),
        // Was a replay of the other command's answer.
        update(
            "update, same key other body",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-3,"version":2,"idempotencyKey":"k1"}"#,
            422,
            r#"{"code":"idempotency_key_reused"}"#,
        ),
        update(
            "update version conflict",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-1,"version":1,"idempotencyKey":"k2"}"#,
            409,
            r#"{"productId":"PROD-001","newQuantity":8,"newVersion":2,"lastUpdated":"<time>","errorType":"version_conflict","errorMessage":"version conflict: expected 2, got 1"}"#,
        ),
        update(
            "update insufficient",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-99,"version":2,"idempotencyKey":"k3"}"#,
            409,
            r#"{"productId":"PROD-001","errorType":"insufficient_inventory","errorMessage":"insufficient inventory: current 8, delta -99"}"#,
        ),
        // Was 409, as were the faults of a body below.
        update(
            "update unknown product",
            r#"{"storeId":"store-s1","productId":"NOPE","delta":-1,"version":1,"idempotencyKey":"k4"}"#,
            404,
            r#"{"productId":"NOPE","errorType":"product_not_found","errorMessage":"product not found: NOPE"}"#,
        ),
        // Was 409 for every positive delta; now a reason is asked for, and that is what it says.
        update(
            "update positive delta",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":5,"version":2,"idempotencyKey":"k5"}"#,
            400,
            r#"{"productId":"PROD-001","errorType":"invalid_request"}"#,
        ),
        // Was applied as a change of nothing.
        update(
            "update zero delta",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":0,"version":2,"idempotencyKey":"k6"}"#,
            400,
            r#"{"productId":"PROD-001","errorType":"invalid_delta"}"#,
        ),
        update(
            "update no product",
            r#"{"storeId":"store-s1","delta":-1,"version":1,"idempotencyKey":"k7"}"#,
            400,
            r#"{"errorType":"missing_product_id","errorMessage":"Missing product ID"}"#,
        ),
        update(
            "update no key",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":-1,"version":2}"#,
            400,
            r#"{"productId":"PROD-001","errorType":"invalid_request","errorMessage":"Missing idempotency key"}"#,
        ),
        update(
            "update bad json",
            "{nope",
            400,
            r#"{"code":"bad_request","message":"Invalid JSON"}"#,
        ),
        update(
            "update string delta",
            r#"{"storeId":"store-s1","productId":"PROD-001","delta":"-1","version":2,"idempotencyKey":"k8"}"#,
            400,
            r#"{"code":"bad_request","message":"Invalid JSON"}"#,
        ),
        // Not one of its exchanges: another way to the version that it had then.
        Case {
            path: "/v1/inventory/counts",
            ..update(
                "a version for nothing",
                r#"{"lines":[{"productId":"PROD-001","counted":8}],"countedBy":"seed 003","idempotencyKey":"k9"}"#,
                200,
                r#"{"lines":[{"productId":"PROD-001","expected":8,"counted":8,"delta":0,"newVersion":3}],"offset":4}"#,
            )
        },
        update(
            "batch mixed",
            r#"{"storeId":"store-s1","updates":[{"productId":"PROD-001","delta":-1,"version":3,"idempotencyKey":"b1"},{"productId":"PROD-002","delta":-1,"version":9,"idempotencyKey":"b2"},{"productId":"PROD-003","delta":-1,"version":1,"idempotencyKey":"b3"},{"productId":"NOPE","delta":-1,"version":1,"idempotencyKey":"b4"},{"delta":-1,"version":1,"idempotencyKey":"b5"},{"productId":"PROD-002","delta":-1,"version":1}]}"#,
            200,
            r#"{"results":[{"productId":"PROD-001","newQuantity":7,"newVersion":4,"applied":true,"lastUpdated":"<time>"},{"productId":"PROD-002","newQuantity":5,"newVersion":1,"applied":false,"lastUpdated":"<time>","errorType":"version_conflict","errorMessage":"version conflict: expected 1, got 9"},{"productId":"PROD-003","newQuantity":0,"newVersion":0,"applied":false,"lastUpdated":"","errorType":"insufficient_inventory","errorMessage":"insufficient inventory: current 0, delta -1"},{"productId":"NOPE","newQuantity":0,"newVersion":0,"applied":false,"lastUpdated":"","errorType":"product_not_found","errorMessage":"product not found: NOPE"},{"productId":"","newQuantity":0,"newVersion":0,"applied":false,"lastUpdated":"","errorType":"missing_product_id","errorMessage":"Missing product ID"},{"productId":"PROD-002","newQuantity":0,"newVersion":0,"applied":false,"lastUpdated":"","errorType":"invalid_request","errorMessage":"Missing idempotency key"}],"summary":{"total":6,"succeeded":1,"failed":5}}"#,
        ),
        update(
            "batch empty list",
            r#"{"storeId":"store-s1","updates":[]}"#,
            400,
            r#"{"errorType":"missing_product_id","errorMessage":"Missing product ID"}"#,
        ),
    ]
}

fn feed() -> Vec<Case> {
    vec![
        get(
            "events from 0",
            "/v1/inventory/events?offset=3",
            Some(KEY),
            200,
            r#"{"events":[{"offset":3,"timestamp":"<time>","eventType":"product_updated","productId":"PROD-001","data":{"productId":"PROD-001","name":"Wireless Headphones","available":8,"version":2,"lastUpdated":"<time>","price":99.99},"version":2},{"offset":4,"timestamp":"<time>","eventType":"product_updated","productId":"PROD-001","data":{"productId":"PROD-001","name":"Wireless Headphones","available":8,"version":3,"lastUpdated":"<time>","price":99.99},"version":3},{"offset":5,"timestamp":"<time>","eventType":"product_updated","productId":"PROD-001","data":{"productId":"PROD-001","name":"Wireless Headphones","available":7,"version":4,"lastUpdated":"<time>","price":99.99},"version":4}],"nextOffset":6,"hasMore":false,"count":3}"#,
        ),
        get(
            "events limit 1",
            "/v1/inventory/events?offset=3&limit=1",
            Some(KEY),
            200,
            r#"{"events":[{"offset":3,"timestamp":"<time>","eventType":"product_updated","productId":"PROD-001","data":{"productId":"PROD-001","name":"Wireless Headphones","available":8,"version":2,"lastUpdated":"<time>","price":99.99},"version":2}],"nextOffset":4,"hasMore":true,"count":1}"#,
        ),
        // An empty list was null.
        get(
            "events at the head, no wait",
            "/v1/inventory/events?offset=6",
            Some(KEY),
            200,
            r#"{"events":[],"nextOffset":6,"hasMore":false,"count":0}"#,
        ),
        // Beyond the head the reader was moved in silence.
        get(
            "events beyond the head",
            "/v1/inventory/events?offset=99",
            Some(KEY),
            409,
            r#"{"code":"offset_ahead","headOffset":6}"#,
        ),
        get(
            "events no offset",
            "/v1/inventory/events",
            Some(KEY),
            400,
            r#"{"code":"EVENTS_ERROR","message":"offset parameter is required"}"#,
        ),
        get(
            "events bad offset",
            "/v1/inventory/events?offset=x",
            Some(KEY),
            400,
            r#"{"code":"EVENTS_ERROR","message":"invalid offset parameter"}"#,
        ),
        get(
            "events wait 1, none come",
            "/v1/inventory/events?offset=6&wait=1",
            Some(KEY),
            200,
            r#"{"events":[],"nextOffset":6,"hasMore":false,"count":0}"#,
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn admin_work() -> Vec<Case> {
    const CREATE: &str = "/v1/admin/products/create";
    const MOUSE: &str =
        r#"{"products":[{"productId":"P-9","name":"Mouse","available":3,"price":9.5}]}"#;
    vec![
        Case {
            name: "admin create with user key",
            method: Method::POST,
            path: CREATE,
            key: Some(KEY),
            body: Some(MOUSE),
            status: 403,
            answer: r#"{"code":"forbidden","message":"Admin access required"}"#,
        },
        admin(
            "admin create",
            Method::POST,
            CREATE,
            MOUSE,
            200,
            r#"{"results":[{"productId":"P-9","success":true,"newVersion":1,"lastUpdated":"<time>"}],"summary":{"totalRequests":1,"successfulCreations":1,"failedCreations":0}}"#,
        ),
        admin(
            "admin create duplicate",
            Method::POST,
            CREATE,
            MOUSE,
            200,
            r#"{"results":[{"productId":"P-9","success":false,"errorType":"validation_error","errorMessage":"Product already exists"}],"summary":{"totalRequests":1,"successfulCreations":0,"failedCreations":1}}"#,
        ),
        // The recorded fields have a NUL where the index belongs.
        admin(
            "admin create invalid",
            Method::POST,
            CREATE,
            r#"{"products":[{"productId":"","name":"","available":-3,"price":-1}]}"#,
            400,
            r#"{"code":"validation_error","message":"Request validation failed","details":[{"field":"products[0].productId","issue":"Product ID is required"},{"field":"products[0].name","issue":"Product name is required"},{"field":"products[0].available","issue":"Available quantity cannot be negative"},{"field":"products[0].price","issue":"Price cannot be negative"}]}"#,
        ),
        admin(
            "admin create none",
            Method::POST,
            CREATE,
            r#"{"products":[]}"#,
            400,
            r#"{"code":"invalid_request","message":"No products specified"}"#,
        ),
        admin(
            "admin set",
            Method::PUT,
            "/v1/admin/products/set",
            r#"{"products":[{"productId":"P-9","available":7},{"productId":"NOPE","price":1.0}]}"#,
            200,
            r#"{"results":[{"productId":"P-9","success":true,"newVersion":2,"lastUpdated":"<time>"},{"productId":"NOPE","success":false,"errorType":"not_found","errorMessage":"Product not found"}],"summary":{"totalRequests":2,"successfulUpdates":1,"failedUpdates":1}}"#,
        ),
        admin(
            "admin set nothing to set",
            Method::PUT,
            "/v1/admin/products/set",
            r#"{"products":[{"productId":"P-9"}]}"#,
            400,
            r#"{"code":"validation_error","message":"Request validation failed","details":[{"field":"products[0].fields","issue":"At least one field (name, available, price) must be specified"}]}"#,
        ),
        admin(
            "admin delete",
            Method::DELETE,
            "/v1/admin/products/delete",
            r#"{"productIds":["P-9","NOPE"]}"#,
            200,
            r#"{"results":[{"productId":"P-9","success":true,"newVersion":3,"lastUpdated":"<time>"},{"productId":"NOPE","success":false,"errorType":"not_found","errorMessage":"Product not found"}],"summary":{"totalRequests":2,"successfulDeletions":1,"failedDeletions":1}}"#,
        ),
        get(
            "events after admin work",
            "/v1/inventory/events?offset=5",
            Some(KEY),
            200,
            r#"{"events":[{"offset":5,"timestamp":"<time>","eventType":"product_updated","productId":"PROD-001","data":{"productId":"PROD-001","name":"Wireless Headphones","available":7,"version":4,"lastUpdated":"<time>","price":99.99},"version":4},{"offset":6,"timestamp":"<time>","eventType":"product_created","productId":"P-9","data":{"productId":"P-9","name":"Mouse","available":3,"version":1,"lastUpdated":"<time>","price":9.5},"version":1},{"offset":7,"timestamp":"<time>","eventType":"product_updated","productId":"P-9","data":{"productId":"P-9","name":"Mouse","available":7,"version":2,"lastUpdated":"<time>","price":9.5},"version":2},{"offset":8,"timestamp":"<time>","eventType":"product_deleted","productId":"P-9","data":{"productId":"P-9","name":"Mouse","available":7,"version":3,"lastUpdated":"<time>","price":9.5},"version":3}],"nextOffset":9,"hasMore":false,"count":4}"#,
        ),
    ]
}

fn rate_limits() -> Vec<Case> {
    vec![
        // Whoever presents a key is counted as its owner and not by address.
        get(
            "rate limit status",
            "/v1/admin/rate-limit/status",
            Some(ADMIN_KEY),
            200,
            r#"{"active_ip_limits":"<number>","admin_requests_per_minute":"<number>","enabled":true,"requests_per_minute":"<number>","type":"ip","window_minutes":1}"#,
        ),
        // Was always the first of January 2024.
        Case {
            name: "rate limit reset",
            method: Method::POST,
            path: "/v1/admin/rate-limit/reset",
            key: Some(ADMIN_KEY),
            body: None,
            status: 200,
            answer: r#"{"message":"Rate limits reset successfully","timestamp":"<time>"}"#,
        },
    ]
}

#[tokio::test]
async fn every_recorded_exchange_is_answered_as_recorded() {
    let central = TestCentral::start().await;
    for (id, name, available, price) in [
        ("PROD-001", "Wireless Headphones", 10, 99.99),
        ("PROD-002", "Mechanical Keyboard", 5, 149.5),
        ("PROD-003", "USB-C Hub", 0, 49.99),
    ] {
        let body = json!({"products": [
            {"productId": id, "name": name, "available": available, "price": price},
        ]});
        let path = "/v1/admin/products/create";
        exchange(
            &central,
            &Method::POST,
            path,
            Some(ADMIN_KEY),
            Some(&body.to_string()),
        )
        .await;
    }
    for case in [reads(), updates(), feed(), admin_work(), rate_limits()]
        .into_iter()
        .flatten()
    {
        let Case {
            name,
            method,
            path,
            key,
            body,
            status,
            answer,
        } = case;
        let (found_status, found_type, found) = exchange(&central, &method, path, key, body).await;
        assert_eq!(found_status, status, "{name}: {found}");
        assert_eq!(found_type, content_type(status), "{name}");
        let expected: Value = serde_json::from_str(answer).unwrap();
        let differences = differences(&expected, &found, name);
        assert!(differences.is_empty(), "{differences:#?}\n{found}");
    }
}

async fn exchange(
    central: &TestCentral,
    method: &Method,
    path: &str,
    key: Option<&str>,
    body: Option<&str>,
) -> (u16, String, Value) {
    let mut request = central
        .client
        .request(method.clone(), format!("{}{path}", central.url));
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    if let Some(body) = body {
        request = request
            .header("Content-Type", "application/json")
            .body(body.to_owned());
    }
    let answer = request.send().await.unwrap();
    for name in ["limit", "remaining", "reset"] {
        let said = header(&answer, &format!("x-ratelimit-{name}"));
        let number = said.map(|said| said.parse::<u64>().unwrap());
        assert_eq!(number.is_some(), path != "/health", "{path}: {name}");
    }
    let status = answer.status().as_u16();
    let kind = header(&answer, "content-type").unwrap().to_owned();
    (status, kind, answer.json().await.unwrap())
}
