//! The catalogue as a resource.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{KEY, READ_KEY, TestCentral, header, sorted_fields};

const PRODUCTS: &str = "/v1/products";

struct Answer {
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    replayed: bool,
    body: Value,
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let text = |name| header(&response, name).map(str::to_owned);
    let (etag, location) = (text("etag"), text("location"));
    let replayed = header(&response, "idempotent-replayed") == Some("true");
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Answer {
        status,
        etag,
        location,
        replayed,
        body,
    }
}

async fn create(central: &TestCentral, body: &Value, key: &str) -> Answer {
    let request = central.admin(Method::POST, PRODUCTS).json(body);
    send(request.header("idempotency-key", key)).await
}

async fn put(central: &TestCentral, id: &str, body: &Value) -> Answer {
    let path = format!("{PRODUCTS}/{id}");
    send(central.admin(Method::PUT, &path).json(body)).await
}

fn lamp() -> Value {
    json!({
        "productId": "LAMP#1", "name": "Lamp", "description": "Bright.", "category": "Light",
        "sku": "L-1", "barcode": "2004086000075", "price": 19.99, "lowStockThreshold": 2,
        "onHand": 5,
    })
}

#[tokio::test]
async fn a_product_is_created_once_and_found_where_the_answer_says() {
    let mut central = TestCentral::start().await;
    let first = create(&central, &lamp(), "k-1").await;
    assert_eq!(
        (first.status, first.replayed),
        (201, false),
        "{}",
        first.body
    );
    assert_eq!(first.etag.as_deref(), Some("\"1\""));
    assert_eq!(first.body["available"], 5);
    let location = first.location.unwrap();
    assert_eq!(location, "/v1/products/LAMP%231");
    assert_eq!(central.get_json(&location).await, first.body);

    // The same key gives the same answer, also from a service that was not there the first time.
    central = central.restart().await;
    let again = create(&central, &lamp(), "k-1").await;
    assert_eq!((again.status, again.replayed), (201, true));
    assert_eq!(again.body, first.body);
    assert_eq!(again.location.as_deref(), Some(location.as_str()));

    let twice = create(&central, &lamp(), "k-2").await;
    assert_eq!(twice.status, 409);
    assert_eq!(twice.body["code"], "product_exists");
    assert_eq!(twice.body["version"], 1);
    let other = json!({"productId": "OTHER", "name": "Other", "onHand": 1});
    assert_eq!(create(&central, &other, "k-1").await.status, 422);
    assert_eq!(central.head().await, 1);
}

#[tokio::test]
async fn a_key_is_required_where_units_come_into_the_house() {
    let central = TestCentral::start().await;
    let request = central.admin(Method::POST, PRODUCTS).json(&lamp());
    let answer = send(request).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body["code"], "idempotency_key_required");
    let empty = json!({"productId": "EMPTY", "name": "No units"});
    let answer = send(central.admin(Method::POST, PRODUCTS).json(&empty)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test]
async fn every_fault_is_named_and_unknown_fields_are_refused() {
    let central = TestCentral::start().await;
    let bad = json!({
        "productId": "a b", "name": "", "price": 1.999, "onHand": -1, "barcode": 7,
        "lowStockThreshold": "2", "colour": "red",
    });
    let answer = create(&central, &bad, "k").await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (400, &json!("invalid_request"))
    );
    assert_eq!(
        sorted_fields(&answer.body),
        [
            "barcode",
            "colour",
            "lowStockThreshold",
            "name",
            "onHand",
            "price",
            "productId"
        ]
    );
    create(&central, &lamp(), "k-1").await;
    let bad = json!({"onHand": 3, "productId": "OTHER", "name": null, "size": 1});
    let answer = put(&central, "LAMP%231", &bad).await;
    let named = sorted_fields(&answer.body);
    assert_eq!(named, ["name", "onHand", "productId", "size", "version"]);
    assert_eq!(central.head().await, 1);
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_null_clears() {
    let central = TestCentral::start().await;
    create(&central, &lamp(), "k-1").await;
    let body = json!({"price": 21.5, "category": null, "description": "", "version": 1});
    let answer = put(&central, "LAMP%231", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.etag.as_deref(), Some("\"2\""));
    assert_eq!(answer.body["price"], 21.5);
    assert_eq!(answer.body["sku"], "L-1");
    assert_eq!(answer.body.get("category"), None);
    assert_eq!(answer.body.get("description"), None);
    assert_eq!(answer.body["onHand"], 5);
    // Nothing to change is no new version.
    let answer = put(&central, "LAMP%231", &json!({"price": 21.5, "version": 2})).await;
    assert_eq!((answer.status, &answer.body["version"]), (200, &json!(2)));
    assert_eq!(central.head().await, 2);
}

#[tokio::test]
async fn an_edit_needs_the_version_that_was_seen_or_says_overwrite() {
    let central = TestCentral::start().await;
    create(&central, &lamp(), "k-1").await;
    let answer = put(&central, "LAMP%231", &json!({"price": 2})).await;
    assert_eq!(answer.status, 400);
    assert_eq!(sorted_fields(&answer.body), ["version"]);
    let stale = put(&central, "LAMP%231", &json!({"price": 2, "version": 9})).await;
    assert_eq!(
        (stale.status, &stale.body["code"]),
        (409, &json!("version_conflict"))
    );
    assert_eq!(stale.body["version"], 1);
    assert_eq!(stale.body["available"], 5);
    assert_eq!(stale.body["onHand"], 5);
    let overwritten = put(&central, "LAMP%231", &json!({"price": 2, "version": null})).await;
    assert_eq!(overwritten.status, 200);
    let unknown = put(&central, "NOPE", &json!({"price": 2, "version": null})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn if_match_is_a_precondition_of_edits_and_deletions() {
    let central = TestCentral::start().await;
    create(&central, &lamp(), "k-1").await;
    let path = "/v1/products/LAMP%231";
    let edit = |condition: &str, body: Value| {
        let request = central.admin(Method::PUT, path).json(&body);
        send(request.header("if-match", condition))
    };
    let stale = edit("\"7\"", json!({"price": 2})).await;
    assert_eq!(
        (stale.status, &stale.body["code"]),
        (412, &json!("precondition_failed"))
    );
    assert_eq!(
        (&stale.body["version"], &stale.body["onHand"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(edit("\"1\"", json!({"price": 2})).await.status, 200);
    assert_eq!(edit("*", json!({"price": 3})).await.status, 200);
    assert_eq!(
        edit("\"3\"", json!({"price": 4, "version": 2}))
            .await
            .status,
        400
    );
    assert_eq!(edit("W/\"3\"", json!({"price": 4})).await.status, 400);

    let delete = |condition: Option<&'static str>| {
        let request = central.admin(Method::DELETE, path);
        send(match condition {
            Some(condition) => request.header("if-match", condition),
            None => request,
        })
    };
    let bare = delete(None).await;
    assert_eq!(
        (bare.status, &bare.body["code"]),
        (428, &json!("precondition_required"))
    );
    let stale = delete(Some("\"1\"")).await;
    assert_eq!((stale.status, &stale.body["version"]), (412, &json!(3)));
    assert_eq!(delete(Some("\"3\"")).await.status, 204);
    assert_eq!(delete(Some("*")).await.status, 404);
    assert_eq!(central.get(path).await.status(), 404);
    // The version goes on from the deleted product's.
    let back = create(&central, &lamp(), "k-2").await;
    assert_eq!((back.status, &back.body["version"]), (201, &json!(5)));
}

#[tokio::test]
async fn repeats_of_edits_and_deletions_get_the_first_answer() {
    let central = TestCentral::start().await;
    create(&central, &lamp(), "k-1").await;
    let path = "/v1/products/LAMP%231";
    let edit = || {
        let request = central.admin(Method::PUT, path);
        let request = request.json(&json!({"price": 7, "version": 1}));
        send(request.header("idempotency-key", "e-1"))
    };
    let first = edit().await;
    central.update("LAMP#1", -1, "sale-1").await;
    let again = edit().await;
    assert_eq!(
        (first.status, again.status, again.replayed),
        (200, 200, true)
    );
    assert_eq!((&again.body, &again.etag), (&first.body, &first.etag));
    let delete = || {
        let request = central.admin(Method::DELETE, path).header("if-match", "*");
        send(request.header("idempotency-key", "d-1"))
    };
    assert_eq!(delete().await.status, 204);
    let again = delete().await;
    assert_eq!((again.status, again.replayed), (204, true));
    assert_eq!(central.head().await, 4);
}

#[tokio::test]
async fn only_an_admin_writes_and_everybody_with_a_key_reads() {
    let central = TestCentral::start().await;
    create(&central, &lamp(), "k-1").await;
    let path = "/v1/products/LAMP%231";
    for key in [KEY, READ_KEY] {
        for (method, path) in [
            (Method::POST, PRODUCTS),
            (Method::PUT, path),
            (Method::DELETE, path),
        ] {
            let request = central.request(method, path, key).json(&json!({}));
            assert_eq!(send(request).await.status, 403, "{path}");
        }
        let one = send(central.request(Method::GET, path, key)).await;
        assert_eq!((one.status, one.etag.as_deref()), (200, Some("\"1\"")));
    }
    let list = central.get_json(PRODUCTS).await;
    assert_eq!(list["products"][0]["productId"], "LAMP#1");
    let found = central.get_json("/v1/products/search?q=BRIGHT").await;
    assert_eq!(
        found["pagination"]["total_count"], 0,
        "descriptions are not searched"
    );
    let found = central.get_json("/v1/products/search?q=lamp").await;
    assert_eq!(found["pagination"]["total_count"], 1);
    assert_eq!(central.get("/v1/products/search").await.status(), 400);
    let known = central.request(Method::GET, path, KEY);
    assert_eq!(
        send(known.header("if-none-match", "\"1\"")).await.status,
        304
    );
}
