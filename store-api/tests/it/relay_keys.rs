//! Who may say what through a relay: keys that are bound to a store, at the relay and at central.

use reqwest::Method;
use serde_json::{Value, json};
use store_api::Settings;

use crate::fake_central::FakeCentral;
use crate::harness::{KEY, TestStore, settings};

/// Sends with `key` to `relay`, and says what came of it: the status and the body.
async fn send_as(
    relay: &TestStore,
    key: &str,
    (method, path): (Method, &str),
    body: &str,
) -> (u16, Value) {
    let request = relay.client.request(method, format!("{}{path}", relay.url));
    let request = request
        .header("x-api-key", key)
        .header("content-type", "application/json");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

const RELAYED: &str = "/v1/inventory/updates";

fn line(key: &str) -> Value {
    json!({"productId": "PROD-001", "delta": -1, "idempotencyKey": key})
}

fn batch(store: Option<&str>, key: &str) -> Value {
    let mut batch = json!({"updates": [line(key)]});
    if let Some(store) = store {
        batch["storeId"] = store.into();
    }
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_bound_to_a_store_speaks_for_no_other_through_a_relay() {
    let central = FakeCentral::start(1).await;
    let relay = TestStore::with(Settings {
        api_keys: format!("{KEY},leaf@store-s2"),
        ..settings(&central.url())
    })
    .await;
    relay.live_at(1).await;
    let post = || (Method::POST, RELAYED);
    let single =
        json!({"storeId": "store-s3", "productId": "PROD-001", "delta": -1, "idempotencyKey": "a"});
    for body in [batch(Some("store-s3"), "a"), single.clone()] {
        let (status, answer) = send_as(&relay, "leaf", post(), &body.to_string()).await;
        assert_eq!((status, &answer["code"]), (403, &json!("forbidden")));
    }
    // What this store cannot read, central might.
    let odd = r#"{"storeId":"store-s3","more":1e999,"productId":"PROD-001","delta":-1,"idempotencyKey":"b"}"#;
    let (status, _) = send_as(&relay, "leaf", post(), odd).await;
    assert_eq!(status, 400);
    assert!(central.applied_keys().is_empty());

    // Its own it may name or not, and central hears it; a key that is not bound may name any.
    for (key, named, heard, id) in [
        ("leaf", Some("store-s2"), "store-s2", "c"),
        ("leaf", None, "store-s2", "d"),
        (KEY, Some("store-s3"), "store-s3", "e"),
    ] {
        let (status, answer) = send_as(&relay, key, post(), &batch(named, id).to_string()).await;
        assert_eq!((status, &answer["storeId"]), (200, &json!(heard)), "{id}");
    }
    assert_eq!(central.applied_keys(), ["c", "d", "e"]);

    for (key, store, expected) in [
        ("leaf", "store-s3", 403),
        ("leaf", "store-s2", 200),
        (KEY, "store-s3", 200),
    ] {
        let path = format!("/v1/stores/{store}/heartbeat");
        let (status, _) = send_as(&relay, key, (Method::PUT, &path), "{}").await;
        assert_eq!(status, expected, "{key} {store}");
        let is_heard = central.heartbeat_of(store).is_some();
        assert_eq!(is_heard, expected == 200, "{key} {store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_centrals_key_does_not_allow_a_follower_is_its_refusal_and_no_outage() {
    const REFUSAL: &str = r#"{"code":"forbidden","requestId":"$REQUEST"}"#;
    let central = FakeCentral::start(1).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(1).await;
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((8, 403, REFUSAL)));
    let body = batch(Some("store-s2"), "a").to_string();
    for _ in 0..7 {
        let (status, answer) = send_as(&relay, KEY, (Method::POST, RELAYED), &body).await;
        assert_eq!((status, &answer["code"]), (403, &json!("forbidden")));
    }
    // What a store itself may not do at all is another matter: it cannot work.
    let own = relay.update("PROD-001", -1, "b").await;
    assert_eq!(own.status(), 503);
    assert_eq!(relay.update("PROD-001", -1, "b").await.status(), 200);
}
