//! Keys that are bound to a store, at central and at a relay, with the real programs.

use reqwest::Client;
use serde_json::{Value, json};
use system_tests::process::{KEY, Service, client};

use crate::scene::{SHORT, converges};
use crate::till;

/// What a relay with `own` as its key at central does with a sale that `key` sends it for `store`:
/// the status, the code, and for whom central has it.
async fn relayed(own: &str, key: &str, store: Option<&str>) -> (u16, Value, Value) {
    let dir = tempfile::tempdir().unwrap();
    let keys = [("API_KEYS", "demo,upper@store-s1")];
    let folder = dir.path().join("central");
    let central = Service::central_with(&folder, &keys).await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &["A"], 10).await;
    let keys = [("CENTRAL_API_KEY", own), ("API_KEYS", "demo,leaf@store-s2")];
    let settings = [&SHORT[..], &keys].concat();
    let folder = dir.path().join("relay");
    let relay = Service::store_with("store-s1", &folder, central.address(), &settings);
    let relay = relay.await.unwrap();
    converges(&client, &central, &relay).await;
    let mut sale = json!({"productId": "A", "delta": -1, "idempotencyKey": "k"});
    if let Some(store) = store {
        sale["storeId"] = store.into();
    }
    let request = client.post(relay.url("/v1/inventory/updates"));
    let request = request.header("X-API-Key", key).json(&sale);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let code = answer.json::<Value>().await.unwrap()["code"].clone();
    (status, code, sold_for(&client, &central).await)
}

/// For whom the unit was sold; null if it was not.
async fn sold_for(client: &Client, central: &Service) -> Value {
    let request = client.get(central.url("/v1/inventory/events?offset=1"));
    let feed = request.header("X-API-Key", KEY).send().await.unwrap();
    let feed: Value = feed.json().await.unwrap();
    feed["events"][0]["cause"]["storeId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_bends_no_binding_neither_its_followers_nor_its_own() {
    let refused = (403, json!("forbidden"), Value::Null);
    let sold = |store: &str| (200, Value::Null, json!(store));
    for (own, key, store, expected) in [
        // Its key at central is bound to it: nobody else speaks through it.
        ("upper", KEY, Some("store-s2"), refused.clone()),
        ("upper", "leaf", None, refused.clone()),
        ("upper", KEY, Some("store-s1"), sold("store-s1")),
        // Its key at central is not, so its followers' own bindings count.
        (KEY, "leaf", Some("store-s3"), refused),
        (KEY, "leaf", None, sold("store-s2")),
        (KEY, KEY, Some("store-s3"), sold("store-s3")),
    ] {
        let found = relayed(own, key, store).await;
        assert_eq!(found, expected, "{own} {key} {store:?}");
    }
}
