//! A store's `/openapi.json` says what the store does: every example of it is sent to a store that
//! follows a real central, and every answer has the described shape. (Central's own is held against
//! central in its own tests; a store can only be asked for orders where there is a central.)

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use shared::testing::description::{Operation, operations};
use shared::testing::header;
use shared::testing::schema_check::Schemas;
use store_api::http;
use system_tests::process::{ADMIN_KEY, Service, until};

use crate::scene::{PATIENCE, status};

/// What must happen before anything else, in this order, and what must come last.
const FIRST: [&str; 4] = [
    "updateInventory",
    "updateInventoryBatch",
    "relayUpdates",
    "relayHeartbeat",
];
const LAST: [&str; 9] = [
    "placeOrder",
    "editOrder",
    "confirmOrder",
    "getOrder",
    "listOrders",
    "orderHistory",
    "completeOrder",
    "setOrderStatus",
    "cancelOrder",
];
/// What anybody may ask; see section 1 of the contract.
const PUBLIC: [&str; 4] = ["/health", "/health/live", "/health/ready", "/v1/info"];
/// What names the order of the examples; the real one is made by central.
const EXAMPLE_ORDER: &str = "ord-01kf0k8y20zzzzzzzzzzzzzzzz";

#[test]
fn every_operation_has_a_name_a_summary_its_problems_and_examples() {
    let mut names = BTreeSet::new();
    for operation in operations(http::document()) {
        operation.check_complete();
        let id = operation.id().to_owned();
        assert!(names.insert(id.clone()), "{id} is there twice");
    }
    assert!(names.len() > 20, "{names:?}");
}

/// Central with the product of the examples, and a store that has it too.
struct Shop {
    central: Service,
    store: Service,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Shop {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (there, here) = (dir.path().join("central"), dir.path().join("store"));
        let central = Service::central(&there).await.unwrap();
        let client = shared::testing::client();
        let mut product = central_api::http::examples::new_product();
        product["idempotencyKey"] = "first".into();
        let request = client.post(central.url("/v1/products"));
        let request = request.header("X-API-Key", ADMIN_KEY);
        let created = request.json(&product).send().await.unwrap();
        assert_eq!(created.status(), 201);
        let store = Service::store("store-s1", &here, central.address());
        let store = store.await.unwrap();
        until("the store has the product", PATIENCE, || async {
            let status = status(&client, &store).await;
            status.is_some_and(|it| it["state"] == "live" && it["appliedOffset"] == 1)
        })
        .await
        .unwrap();
        Self {
            central,
            store,
            client,
            _dir: dir,
        }
    }

    async fn send(&self, operation: &Operation, path: &str) -> reqwest::Response {
        let (_, headers) = operation.address();
        let request = self
            .client
            .request(operation.method.clone(), self.store.url(path));
        let mut request = request.header("X-API-Key", ADMIN_KEY);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((kind, example)) = operation.body() {
            request = request
                .header("content-type", kind)
                .body(example.to_string());
        }
        request.send().await.unwrap()
    }

    async fn another_order(&self) -> String {
        let body = json!({
            "customerId": "ann", "items": [{"productId": "GRO-0101", "quantity": 1}],
            "idempotencyKey": "another",
        });
        let request = self.client.post(self.store.url("/v1/store/orders"));
        let request = request.header("X-API-Key", ADMIN_KEY).json(&body);
        let order: Value = request.send().await.unwrap().json().await.unwrap();
        order["orderId"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_store_works_and_every_answer_is_as_described() {
    let document = http::document();
    let schemas = Schemas::of(document);
    let shop = Shop::start().await;
    let mut operations = operations(document);
    operations.sort_by_key(|operation| operation.rank(&FIRST, &LAST));
    let mut order = EXAMPLE_ORDER.to_owned();
    for operation in &operations {
        let id = operation.id();
        if id == "cancelOrder" {
            // The one of the day is completed by now.
            order = shop.another_order().await;
        }
        let mut path = operation.address().0.replace(EXAMPLE_ORDER, &order);
        if id == "snapshot" {
            let newest = shop.client.get(shop.store.url("/v1/inventory/snapshot"));
            let newest = newest.header("X-API-Key", ADMIN_KEY).send().await.unwrap();
            header(&newest, "location").unwrap().clone_into(&mut path);
        }
        if id == "inventoryEvents" {
            // A relay's log begins where its copy did.
            path = path.replace("offset=0", "offset=1");
        }
        if let Some((kind, example)) = operation.body() {
            let schema = &operation.about["requestBody"]["content"][&kind]["schema"];
            schemas.check(schema, example, id);
        }
        let answer = shop.send(operation, &path).await;
        let status = answer.status();
        let kind = header(&answer, "content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().to_owned();
        let described = &operation.about["responses"][status.as_str()];
        if kind == "text/event-stream" {
            assert!(described["content"][&kind]["example"].is_string(), "{id}");
            continue;
        }
        let text = answer.text().await.unwrap();
        let as_described = status.is_success() || status.is_redirection();
        assert!(
            as_described && described.is_object(),
            "{id}: {status} {text}"
        );
        if id == "placeOrder" {
            let placed: Value = serde_json::from_str(&text).unwrap();
            placed["orderId"].as_str().unwrap().clone_into(&mut order);
        }
        let Some(content) = described["content"].as_object() else {
            assert_eq!(text, "", "{id}");
            continue;
        };
        let content = content.get(&kind).unwrap_or_else(|| panic!("{id}: {kind}"));
        if kind == "application/json" {
            let body: Value = serde_json::from_str(&text).unwrap();
            schemas.check(&content["schema"], &body, id);
            schemas.check(&content["schema"], &content["example"], id);
        }
    }
    drop(shop.central);
}

/// Every described path exists, with exactly the described methods.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_the_routes_that_it_describes() {
    let shop = Shop::start().await;
    let served = shop
        .client
        .get(shop.store.url("/openapi.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(&served.json::<Value>().await.unwrap(), http::document());
    let paths: BTreeSet<String> = operations(http::document())
        .into_iter()
        .map(|operation| operation.path)
        .collect();
    for path in paths {
        let methods: BTreeSet<String> = operations(http::document())
            .into_iter()
            .filter(|operation| operation.path == path)
            .map(|operation| operation.method.to_string())
            .collect();
        let url = shop.store.url(&path.replace(['{', '}'], "x"));
        let request = shop
            .client
            .request(Method::PATCH, url)
            .header("X-API-Key", ADMIN_KEY);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed: BTreeSet<String> = header(&answer, "allow")
            .unwrap()
            .split(',')
            .filter(|method| *method != "HEAD")
            .map(str::to_owned)
            .collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_store_needs_a_key_but_the_public_ones() {
    let shop = Shop::start().await;
    let mut open = BTreeSet::new();
    for operation in operations(http::document()) {
        let (method, path) = (&operation.method, &operation.path);
        let url = shop.store.url(&path.replace(['{', '}'], "x"));
        for key in [None, Some("nobody")] {
            let mut request = shop.client.request(method.clone(), &url);
            if let Some(key) = key {
                request = request.header("X-API-Key", key);
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
}
