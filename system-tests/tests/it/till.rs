//! What these tests ask of central, in a few words.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use system_tests::process::{ADMIN_KEY, KEY, Service};

/// Creates `products` with `units` each.
pub(crate) async fn create(client: &Client, central: &Service, products: &[&str], units: i64) {
    let products: Vec<_> = products
        .iter()
        .map(|id| json!({"productId": id, "name": id, "available": units, "price": 1}))
        .collect();
    let answer = client
        .post(central.url("/v1/admin/products/create"))
        .header("X-API-Key", ADMIN_KEY)
        .json(&json!({"products": products}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["summary"]["failedCreations"], 0, "{body}");
}

/// What came of a movement.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) status: StatusCode,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

/// Sends a movement; `None` if no whole answer came, or one that leaves the outcome open.
pub(crate) async fn send(client: &Client, url: &str, body: &Value) -> Option<Moved> {
    let request = client.post(url).header("X-API-Key", KEY).json(body);
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let replayed = answer.headers().contains_key("idempotent-replayed");
    let body = answer.json().await.ok()?;
    (!status.is_server_error()).then_some(Moved {
        status,
        replayed,
        body,
    })
}

/// Reads one product.
pub(crate) async fn read(client: &Client, service: &Service, id: &str) -> Option<Value> {
    let url = service.url(&format!("/v1/inventory/{id}"));
    let answer = client.get(url).header("X-API-Key", KEY).send().await.ok()?;
    answer.json().await.ok()
}

/// Every product of central, or of a store's copy, in order.
pub(crate) async fn everything(client: &Client, url: &str) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = format!("{url}?limit=1000&cursor={cursor}");
        let answer = client
            .get(page)
            .header("X-API-Key", KEY)
            .send()
            .await
            .ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let mut body: Value = answer.json().await.ok()?;
        all.append(body["products"].as_array_mut()?);
        match body["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Some(all),
        }
    }
}
