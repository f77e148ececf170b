//! `/openapi.json` says what the service does: no route is missing, no route is invented, every
//! example works, and every answer has the described shape.

use std::collections::{BTreeMap, BTreeSet};

use central_api::config::Settings;
use central_api::http::{self, AppState};
use reqwest::Method;
use serde_json::Value;
use shared::testing::description::operations;
use shared::testing::schema_check::Schemas;
use tokio_util::sync::CancellationToken;

use crate::harness::{ADMIN_KEY, TestCentral, eventually, header, settings};
use crate::served::{Served, config, simulated};

/// Routes that describe the others, and axum's own two for whatever else is asked.
const NOT_DESCRIBED: [&str; 6] = [
    "/openapi.json",
    "/docs",
    "/docs/",
    "/docs/{*rest}",
    "/",
    "/{*__private__axum_fallback}",
];
/// What must happen before anything else, in this order, and what must come last.
const FIRST: [&str; 14] = [
    "createProduct",
    "adminCreateProducts",
    "adminSetProducts",
    "updateInventory",
    "countInventory",
    "createReservation",
    "reserveProduct",
    "extendReservation",
    "commitReservation",
    "releaseReservation",
    "releaseProduct",
    "editProduct",
    "heartbeat",
    "createApiKey",
];
const LAST: [&str; 17] = [
    "placeOrder",
    "editOrder",
    "confirmOrder",
    "getOrder",
    "getPayment",
    "listOrders",
    "orderEvents",
    "orderHistory",
    "orderStats",
    "refundPayment",
    "completeOrder",
    "setOrderStatus",
    "cancelOrder",
    "settleRefund",
    "deleteProduct",
    "revokeApiKey",
    // From then on calls fail on purpose.
    "setFaults",
];
/// What anybody may ask; see section 1 of the contract.
const PUBLIC: [&str; 4] = ["/health", "/health/live", "/health/ready", "/v1/info"];
/// What names the order of the examples; the real one is made by the service.
const EXAMPLE_ORDER: &str = "01kf0k8y20zzzzzzzzzzzzzzzz";
/// What names the API key of the examples, likewise.
const EXAMPLE_KEY: &str = "01kf0k5m10hhhhhhhhhhhhhhhh";

/// Every path that the router has.
async fn routed() -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir).await;
    let config = config(dir.path().to_owned());
    let state = AppState::new(
        served.ledger.clone(),
        &config,
        simulated(&config),
        CancellationToken::new(),
    );
    // The only way that axum offers to look into a router.
    let text = format!("{:?}", http::router(state));
    served.stop().await;
    let quoted = text.split('"').filter(|part| part.starts_with('/'));
    quoted.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_described_route_exists() {
    let mut routed = routed().await;
    for path in NOT_DESCRIBED {
        assert!(routed.remove(path), "{path} is not routed: {routed:?}");
    }
    assert!(routed.len() > 20, "the routes were not found: {routed:?}");
    let mut described = BTreeMap::<String, BTreeSet<String>>::new();
    for operation in operations(http::document()) {
        let methods = described.entry(operation.path.clone()).or_default();
        methods.insert(operation.method.to_string());
    }
    let paths: BTreeSet<String> = described.keys().cloned().collect();
    assert_eq!(routed, paths);
    let central = TestCentral::start().await;
    for (path, methods) in described {
        let path = path.replace(['{', '}'], "x");
        let answer = central.admin(Method::PATCH, &path).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = header(&answer, "allow").unwrap().split(',');
        let allowed: BTreeSet<String> = allowed
            .map(str::to_owned)
            .filter(|method| method != "HEAD")
            .collect();
        assert!(
            methods.is_subset(&allowed),
            "{path}: {methods:?} {allowed:?}"
        );
        // A path such as /v1/products/search also matches no template but its own.
        assert_eq!(methods, allowed, "{path}");
    }
}

/// Over everything that is described; that this is everything there is, the test above shows.
#[tokio::test]
async fn every_call_needs_a_key_but_the_public_ones() {
    let central = TestCentral::start().await;
    let mut open = BTreeSet::new();
    for operation in operations(http::document()) {
        let (method, path) = (&operation.method, &operation.path);
        let url = format!("{}{}", central.url, path.replace(['{', '}'], "x"));
        for key in [None, Some("nobody")] {
            let mut request = central.client.request(method.clone(), &url);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let answer = request.send().await.unwrap();
            if answer.status() == 401 {
                assert!(
                    header(&answer, "www-authenticate").is_some(),
                    "{method} {path}"
                );
            } else {
                assert_eq!(answer.status(), 200, "{method} {path}");
                open.insert(path.clone());
            }
        }
    }
    assert_eq!(open, PUBLIC.map(str::to_owned).into());
    // Nothing has happened meanwhile.
    assert_eq!(central.head().await, 0);
}

#[tokio::test]
async fn the_description_and_its_page_need_no_key() {
    let central = TestCentral::start().await;
    for path in ["/openapi.json", "/docs/"] {
        let url = format!("{}{path}", central.url);
        let answer = central.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let url = format!("{}/openapi.json", central.url);
    let served: Value = central
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(&served, http::document());
}

#[test]
fn every_operation_has_a_name_a_summary_its_problems_and_examples() {
    let mut names = BTreeSet::new();
    for operation in operations(http::document()) {
        operation.check_complete();
        let id = operation.id().to_owned();
        assert!(names.insert(id.clone()), "{id} is there twice");
    }
}

#[test]
fn no_whole_number_is_beyond_what_a_browser_holds() {
    fn check(value: &Value, at: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| check(item, at)),
            // More than the most of these means the most, however many digits it has.
            Value::Object(members)
                if members.get("in").is_some_and(|place| place == "query")
                    && ["limit", "offset", "wait"]
                        .map(Value::from)
                        .contains(&members["name"]) => {}
            Value::Object(members) => {
                let whole = members.get("type").is_some_and(|kind| {
                    kind == "integer"
                        || kind
                            .as_array()
                            .is_some_and(|all| all.contains(&"integer".into()))
                });
                if whole {
                    let most = members["maximum"].as_f64().unwrap();
                    let least = members["minimum"].as_f64().unwrap();
                    assert!(most < 9.1e15 && least > -9.1e15, "{at}");
                }
                for (name, member) in members {
                    check(member, &format!("{at}/{name}"));
                }
            }
            _ => {}
        }
    }
    check(http::document(), "");
}

/// The control of the next test: what holds answers to the description notices when they differ.
#[test]
fn an_answer_that_differs_from_its_description_is_noticed() {
    let schemas = Schemas::of(http::document());
    let product = serde_json::json!({"$ref": "#/components/schemas/ProductBody"});
    let good = central_api::http::examples::product();
    assert_eq!(schemas.fits(&product, &good, ""), Ok(()));
    for (name, value) in [
        ("version", Value::from("2")),
        ("version", Value::from(0)),
        ("sku", Value::Null),
        ("colour", Value::from("red")),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(schemas.fits(&product, &bad, "").is_err(), "{bad}");
    }
    let mut bad = good;
    bad.as_object_mut().unwrap().remove("onHand");
    assert!(schemas.fits(&product, &bad, "").is_err(), "{bad}");
}

/// What names the order that was placed.
fn order_of(answer: &str) -> String {
    token_of(answer, "orderId")
}

/// What comes after the hyphen of the id `name`.
fn token_of(answer: &str, name: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let (_, token) = answer[name].as_str().unwrap().split_once('-').unwrap();
    token.to_owned()
}

async fn another_order(central: &TestCentral, key: &str, card: &str) -> String {
    let mut example = central_api::http::examples::new_order();
    example["idempotencyKey"] = key.into();
    example["paymentMethod"] = card.into();
    let request = central.request(Method::POST, "/v1/orders", ADMIN_KEY);
    let answer = request.json(&example).send().await.unwrap();
    order_of(&answer.text().await.unwrap())
}

/// An order that was called off, and whose money the bank does not give back.
async fn order_that_is_owed(central: &TestCentral) -> String {
    let order = another_order(central, "order-5003", "card_refund_refused").await;
    let cancel = format!("/v1/orders/ord-{order}/cancel");
    let request = central.request(Method::POST, &cancel, ADMIN_KEY);
    let request = request.header("idempotency-key", "cancel-5003");
    assert_eq!(request.send().await.unwrap().status(), 200);
    eventually("the bank has refused", async || {
        let payment = central.get_json(&format!("/v1/payments/pay-{order}")).await;
        payment["status"] == "refund_failed"
    })
    .await;
    order
}

/// Every example of the description, sent to a real service in the order of a day.
#[tokio::test]
async fn every_example_works_and_every_answer_is_as_described() {
    let document = http::document();
    let schemas = Schemas::of(document);
    let central = TestCentral::with(Settings {
        fault_injection: true,
        ..settings()
    })
    .await;
    let mut operations = operations(document);
    operations.sort_by_key(|operation| operation.rank(&FIRST, &LAST));
    let mut order = EXAMPLE_ORDER.to_owned();
    let mut key = EXAMPLE_KEY.to_owned();
    for operation in &operations {
        let id = operation.id();
        match id {
            // The one of the day is completed by now.
            "cancelOrder" => order = another_order(&central, "order-5002", "card").await,
            "settleRefund" => order = order_that_is_owed(&central).await,
            _ => {}
        }
        let (path, headers) = operation.address();
        let path = path.replace(EXAMPLE_ORDER, &order);
        let mut path = path.replace(EXAMPLE_KEY, &key);
        if id == "snapshot" {
            let newest = central.get("/v1/inventory/snapshot").await;
            header(&newest, "location").unwrap().clone_into(&mut path);
        }
        let mut request = central.request(operation.method.clone(), &path, ADMIN_KEY);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((kind, example)) = operation.body() {
            let schema = &operation.about["requestBody"]["content"][&kind]["schema"];
            schemas.check(schema, example, id);
            let body = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            request = request.header("content-type", kind).body(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let kind = header(&answer, "content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().to_owned();
        let described = &operation.about["responses"][status.as_str()];
        let as_described = status.is_success() || status.is_redirection();
        if kind == "text/event-stream" {
            assert!(described["content"][&kind]["example"].is_string(), "{id}");
            continue;
        }
        let text = answer.text().await.unwrap();
        if id == "createApiKey" {
            key = token_of(&text, "keyId");
        }
        if id == "placeOrder" {
            order = order_of(&text);
        }
        assert!(
            as_described && described.is_object(),
            "{id}: {status} {text}"
        );
        let content = &described["content"];
        if let Some(content) = content.as_object() {
            let content = &content.get(&kind).unwrap_or_else(|| panic!("{id}: {kind}"));
            if kind == "application/json" {
                let body: Value = serde_json::from_str(&text).unwrap();
                schemas.check(&content["schema"], &body, id);
                schemas.check(&content["schema"], &content["example"], id);
            }
        } else {
            assert_eq!(text, "", "{id}");
        }
    }
}
