//! Seed 003's admin calls, as its clients make them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{KEY, TestCentral, header, sorted_fields};

const CREATE: &str = "/v1/admin/products/create";
const SET: &str = "/v1/admin/products/set";
const DELETE: &str = "/v1/admin/products/delete";

async fn call(central: &TestCentral, method: Method, path: &str, body: Value) -> (u16, Value) {
    let answer = central.admin_json(method, path, &body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn mouse() -> Value {
    json!({"products": [{"productId": "P-9", "name": "Mouse", "available": 3, "price": 9.5}]})
}

/// What differs from one run to the next, taken out.
fn without_times(mut answer: Value) -> Value {
    for row in answer["results"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("lastUpdated");
    }
    answer
}

#[tokio::test]
async fn only_an_admin_may() {
    let central = TestCentral::start().await;
    for (method, path) in [
        (Method::POST, CREATE),
        (Method::PUT, SET),
        (Method::DELETE, DELETE),
    ] {
        let request = central.request(method, path, KEY).json(&mouse());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "forbidden");
        assert_eq!(body["message"], "Admin access required");
    }
    assert_eq!(central.head().await, 0);
}

#[tokio::test]
async fn the_exchanges_recorded_with_seed_003_repeat() {
    let central = TestCentral::start().await;
    let (status, created) = call(&central, Method::POST, CREATE, mouse()).await;
    assert_eq!(status, 200);
    assert_eq!(
        without_times(created),
        json!({
            "results": [{"productId": "P-9", "success": true, "newVersion": 1}],
            "summary": {"totalRequests": 1, "successfulCreations": 1, "failedCreations": 0},
        })
    );
    let (status, twice) = call(&central, Method::POST, CREATE, mouse()).await;
    assert_eq!(status, 200);
    assert_eq!(
        twice,
        json!({
            "results": [{"productId": "P-9", "success": false, "errorType": "validation_error",
                         "errorMessage": "Product already exists"}],
            "summary": {"totalRequests": 1, "successfulCreations": 0, "failedCreations": 1},
        })
    );
    let body = json!({"products": [{"productId": "P-9", "available": 7},
                                   {"productId": "NOPE", "price": 1.0}]});
    let (status, set) = call(&central, Method::PUT, SET, body).await;
    assert_eq!(status, 200);
    assert_eq!(
        without_times(set),
        json!({
            "results": [{"productId": "P-9", "success": true, "newVersion": 2},
                        {"productId": "NOPE", "success": false, "errorType": "not_found",
                         "errorMessage": "Product not found"}],
            "summary": {"totalRequests": 2, "successfulUpdates": 1, "failedUpdates": 1},
        })
    );
    let body = json!({"productIds": ["P-9", "NOPE"]});
    let (status, deleted) = call(&central, Method::DELETE, DELETE, body).await;
    assert_eq!(status, 200);
    assert_eq!(
        without_times(deleted),
        json!({
            "results": [{"productId": "P-9", "success": true, "newVersion": 3},
                        {"productId": "NOPE", "success": false, "errorType": "not_found",
                         "errorMessage": "Product not found"}],
            "summary": {"totalRequests": 2, "successfulDeletions": 1, "failedDeletions": 1},
        })
    );
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_in_the_words_of_seed_003() {
    let central = TestCentral::start().await;
    let body = json!({"products": [{"productId": "", "name": "", "available": -3, "price": -1}]});
    let (status, answer) = call(&central, Method::POST, CREATE, body).await;
    assert_eq!(status, 400);
    assert_eq!(answer["code"], "validation_error");
    assert_eq!(answer["message"], "Request validation failed");
    assert_eq!(
        answer["details"],
        json!([
            {"field": "products[0].productId", "issue": "Product ID is required"},
            {"field": "products[0].name", "issue": "Product name is required"},
            {"field": "products[0].available", "issue": "Available quantity cannot be negative"},
            {"field": "products[0].price", "issue": "Price cannot be negative"},
        ])
    );
    let (status, answer) = call(&central, Method::POST, CREATE, json!({"products": []})).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_request")));
    assert_eq!(answer["message"], "No products specified");
    let body = json!({"products": [{"productId": "P-9"}]});
    let (status, answer) = call(&central, Method::PUT, SET, body).await;
    assert_eq!((status, &answer["code"]), (400, &json!("validation_error")));
    assert_eq!(
        answer["details"],
        json!([{"field": "products[0].fields",
                "issue": "At least one field (name, available, price) must be specified"}])
    );
    assert_eq!(central.head().await, 0);
}

#[tokio::test]
async fn wrong_json_types_are_named_by_field_and_unknown_fields_are_ignored() {
    let central = TestCentral::start().await;
    let body = json!({"products": [
        {"productId": 7, "name": ["x"], "available": 1.5, "price": "9.5"},
        {"productId": "OK", "name": "ok", "available": 1, "price": 1, "colour": "red"},
        "not an object",
        {"productId": null, "name": "x".repeat(10_000), "available": 1, "price": 1},
    ]});
    // Each is named once: a name that is no text is not also a name that is missing.
    let (status, answer) = call(&central, Method::POST, CREATE, body.clone()).await;
    assert_eq!(status, 400);
    assert_eq!(
        sorted_fields(&answer),
        [
            "products[0].available",
            "products[0].name",
            "products[0].price",
            "products[0].productId",
            "products[2]",
            "products[3].name",
            "products[3].productId",
        ]
    );
    let (status, answer) = call(&central, Method::PUT, SET, body).await;
    assert_eq!(status, 400);
    assert_eq!(sorted_fields(&answer).len(), 7, "{answer}");
    assert_eq!(central.head().await, 0);
}

#[tokio::test]
async fn a_key_makes_a_repeat_harmless_even_after_a_restart() {
    let mut central = TestCentral::start().await;
    let mut first = None;
    for replayed in [None, Some("true"), Some("true")] {
        if replayed.is_some() {
            central = central.restart().await;
        }
        let request = central.admin(Method::POST, CREATE).json(&mouse());
        let answer = request.header("idempotency-key", "c-1").send().await;
        let answer = answer.unwrap();
        assert_eq!(header(&answer, "idempotent-replayed"), replayed);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(first.get_or_insert_with(|| body.clone()), &body);
    }
    assert_eq!(central.head().await, 1);
    let mut other = mouse();
    other["products"][0]["price"] = 8.into();
    let request = central.admin(Method::POST, CREATE).json(&other);
    let answer = request.header("idempotency-key", "c-1").send().await;
    assert_eq!(answer.unwrap().status(), 422);
}
