//! Headers of writes, at central and at a store: what a read gave can be sent back, and what is wrong
//! with them is told together with the rest.

use reqwest::header::{CONTENT_TYPE, ETAG};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use system_tests::process::{KEY, Service};

use crate::scene::Scene;

async fn send(
    scene: &Scene,
    at: &Service,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = scene.client.request(method, at.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .header("X-API-Key", KEY)
        .header(CONTENT_TYPE, "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}

async fn tag(scene: &Scene, at: &Service, path: &str) -> String {
    let answer = send(scene, at, (Method::GET, path), &[], "").await;
    answer.headers()[ETAG].to_str().unwrap().to_owned()
}

/// The fields that a refusal names, in order.
async fn faults(answer: Response) -> (u16, Vec<String>) {
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    let details = problem["details"]
        .as_array()
        .unwrap_or_else(|| panic!("{problem}"));
    let mut fields: Vec<String> = details
        .iter()
        .map(|one| one["field"].as_str().unwrap().to_owned())
        .collect();
    fields.sort();
    (status, fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_that_a_store_gave_is_a_condition_there() {
    const PRODUCT: &str = "/v1/store/inventory/A";
    const SALES: &str = "/v1/store/inventory/updates";
    let scene = Scene::start().await;
    let sell = async |key: &str, condition: &str| {
        let body = json!({"productId": "A", "delta": -1, "idempotencyKey": key}).to_string();
        let headers = [("If-Match", condition)];
        send(&scene, &scene.store, (Method::POST, SALES), &headers, &body).await
    };
    let seen = tag(&scene, &scene.store, PRODUCT).await;
    assert!(seen.starts_with("W/\""), "{seen}");
    assert_eq!(sell("first", &seen).await.status(), 200);
    // The control: it is a condition, and by now it does not hold.
    let late = sell("second", &seen).await;
    assert_eq!(late.status(), 412);
    let late: Value = late.json().await.unwrap();
    assert_eq!(late["code"], "precondition_failed", "{late}");
    let seen = tag(&scene, &scene.store, PRODUCT).await;
    assert_eq!(sell("second", &seen).await.status(), 200);
    // What no read gave is refused, by central's words.
    let (status, fields) = faults(sell("third", "W/\"1\", W/\"2\"").await).await;
    assert_eq!((status, fields), (400, vec!["header.If-Match".to_owned()]));

    let order = json!({"customerId": "ann", "items": [{"productId": "A", "quantity": 1}], "idempotencyKey": "order"});
    let placing = (Method::POST, "/v1/store/orders");
    let order = send(&scene, &scene.store, placing, &[], &order.to_string()).await;
    let order: Value = order.json().await.unwrap();
    let path = format!("/v1/store/orders/{}", order["orderId"].as_str().unwrap());
    let seen = tag(&scene, &scene.store, &path).await;
    // A proxy that packs answers weakens their tags.
    for (condition, status) in [("W/\"99\"", 412), (&format!("W/{seen}") as &str, 200)] {
        let complete = (Method::POST, &format!("{path}/complete") as &str);
        let headers = [("If-Match", condition)];
        let answer = send(&scene, &scene.store, complete, &headers, "").await;
        assert_eq!(answer.status(), status, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn a_store_names_every_fault_that_central_names() {
    let scene = Scene::start().await;
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let words = [("Idempotency-Key", "two words"), ("If-Match", "7")];
    let order = json!({"customerId": 7, "idempotencyKey": "k"}).to_string();
    let sale = json!({"delta": 0, "storeId": 7}).to_string();
    for (there, here, headers, body) in [
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &words,
            &*sale,
        ),
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &twice,
            "{}",
        ),
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &words,
            "[",
        ),
        (
            "/v1/inventory/updates",
            "/v1/inventory/updates",
            &words,
            &*sale,
        ),
        ("/v1/orders", "/v1/store/orders", &twice, &*order),
        (
            "/v1/orders",
            "/v1/store/orders",
            &[("Idempotency-Key", "c"), ("X-Other", "d")],
            &*order,
        ),
        ("/v1/orders", "/v1/store/orders", &twice, "["),
        // A member that stands twice must not become one on the way.
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &words,
            r#"{"productId":"A","delta":-1,"delta":-5,"idempotencyKey":"k"}"#,
        ),
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &words,
            r#"{"updates":[{"productId":"A","delta":-1,"delta":-5,"idempotencyKey":"k"}]}"#,
        ),
        (
            "/v1/orders",
            "/v1/store/orders",
            &twice,
            r#"{"customerId":"ann","items":[{"productId":"A","quantity":1,"quantity":2}]}"#,
        ),
        // A wrong type hides no broken rule.
        (
            "/v1/inventory/updates",
            "/v1/store/inventory/updates",
            &words,
            r#"{"productId":"a/b","delta":"x"}"#,
        ),
    ] {
        let central = send(&scene, &scene.central, (Method::POST, there), headers, body).await;
        let store = send(&scene, &scene.store, (Method::POST, here), headers, body).await;
        let (central, store) = (faults(central).await, faults(store).await);
        assert_eq!(central, store, "{here} {body}");
        assert_eq!(central.0, 400);
        let is_named = central
            .1
            .iter()
            .any(|field| field.starts_with("header.") || field == "idempotencyKey");
        assert!(is_named && central.1.len() > 1, "{:?}", central.1);
    }
    let read = (Method::GET, "/v1/store/inventory?limit=none");
    let read = send(&scene, &scene.store, read, &[("X-Min-Offset", "soon")], "").await;
    let expected = ["header.X-Min-Offset", "query.limit"].map(str::to_owned);
    assert_eq!(faults(read).await, (400, expected.to_vec()));
}

/// Ids of a till stand in the store's answer, in central's, and in central's log.
#[tokio::test(flavor = "multi_thread")]
async fn the_ids_of_a_till_are_echoed_and_reach_centrals_log() {
    let scene = Scene::start().await;
    let ids = [
        ("X-Request-ID", "till-7.42"),
        ("X-Correlation-ID", "basket-3"),
    ];
    let sale = json!({"productId": "A", "delta": -1, "idempotencyKey": "ids"}).to_string();
    let order = json!({
        "customerId": "ann", "items": [{"productId": "B", "quantity": 1}],
        "idempotencyKey": "ids-order",
    });
    for (path, body, status) in [
        ("/v1/store/inventory/updates", sale, 200),
        ("/v1/store/orders", order.to_string(), 201),
    ] {
        let answer = send(&scene, &scene.store, (Method::POST, path), &ids, &body).await;
        assert_eq!(answer.status(), status, "{path}");
        for (name, id) in ids {
            assert_eq!(answer.headers()[name], id, "{path}");
        }
    }
    let feed = (Method::GET, "/v1/inventory/events?offset=0");
    let feed = send(&scene, &scene.central, feed, &[], "").await;
    let feed: Value = feed.json().await.unwrap();
    let events = feed["events"].as_array().unwrap();
    let named = |product: &str| {
        let of = |event: &&Value| event["productId"] == product && event["version"] == 2;
        events.iter().find(of).unwrap()["cause"]["correlationId"].clone()
    };
    for product in ["A", "B"] {
        assert_eq!(named(product), "basket-3", "{feed}");
    }
}
