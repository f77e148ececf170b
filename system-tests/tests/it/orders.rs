//! Orders that a shop places, with central real and everything between them unreliable.

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use system_tests::process::{KEY, Service, until};
use system_tests::proxy::Fault;
use tokio::time::timeout;

use crate::scene::{PATIENCE, SHORT, Scene, UNITS};

async fn order(scene: &Scene, key: &str, method: &str) -> Response {
    order_at(scene, &scene.store, key, method).await
}

async fn order_at(scene: &Scene, store: &Service, key: &str, method: &str) -> Response {
    let body = json!({
        "customerId": "ann", "items": [{"productId": "A", "quantity": 2}], "paymentMethod": method,
    });
    let request = scene.client.post(store.url("/v1/store/orders"));
    let request = request
        .header("X-API-Key", KEY)
        .header("Idempotency-Key", key);
    request.json(&body).send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

/// Units of `A` that a store shows, at an offset at least.
async fn available(scene: &Scene, store: &Service, offset: &str) -> i64 {
    let request = scene.client.get(store.url("/v1/store/inventory/A"));
    let request = request
        .header("X-API-Key", KEY)
        .header("X-Min-Offset", offset);
    let product: Value = request.send().await.unwrap().json().await.unwrap();
    product["available"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_shop_sells_by_an_order_the_others_see() {
    let scene = Scene::start().await;
    let folder = scene.dir.path().join("store-s2");
    let other = Service::store("store-s2", &folder, scene.central.address());
    let other = other.await.unwrap();
    crate::scene::converges(&scene.client, &scene.central, &other).await;
    let placed = order(&scene, "one", "card").await;
    assert_eq!(placed.status(), StatusCode::CREATED);
    assert_eq!(header(&placed, "x-sync-visible"), "true");
    let offset = header(&placed, "log-head").to_owned();
    assert_eq!(available(&scene, &scene.store, "0").await, UNITS - 2);
    assert_eq!(available(&scene, &other, &offset).await, UNITS - 2);
    let order_body: Value = placed.json().await.unwrap();
    assert_eq!(
        (&order_body["status"], &order_body["storeId"]),
        (&json!("confirmed"), &json!("store-s1"))
    );
    // A declined one leaves nothing behind, in the shop that tried it neither.
    let declined = order(&scene, "two", "card_declined").await;
    assert_eq!(declined.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(header(&declined, "x-sync-visible"), "true");
    assert_eq!(available(&scene, &scene.store, "0").await, UNITS - 2);
    // Called off in the shop, seen in the shop.
    let id = order_body["orderId"].as_str().unwrap();
    let path = format!("/v1/store/orders/{id}/cancel");
    let request = scene.client.post(scene.store.url(&path));
    let request = request
        .header("X-API-Key", KEY)
        .header("Idempotency-Key", "off");
    let cancelled = request.send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    assert_eq!(header(&cancelled, "x-sync-visible"), "true");
    assert_eq!(available(&scene, &scene.store, "0").await, UNITS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_settled_by_its_key() {
    let scene = Scene::start().await;
    scene.proxy.set(Fault::Cut);
    let unknown = order(&scene, "k", "card").await;
    assert_eq!(unknown.status(), StatusCode::GATEWAY_TIMEOUT);
    scene.proxy.set(Fault::None);
    until("the same key settles it", PATIENCE, || async {
        order(&scene, "k", "card").await.status() == StatusCode::CREATED
    })
    .await
    .unwrap();
    scene.converges().await;
    assert_eq!(scene.sold().await, 2, "it is one order");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_central_gone_an_order_is_refused_and_the_shop_reads_on() {
    let mut scene = Scene::start().await;
    scene.central.kill().unwrap();
    // The proxy takes the call before it finds nobody behind it; so the first ones are in doubt.
    until("the breaker refuses at once", PATIENCE, || async {
        let refused = order(&scene, "after", "card").await;
        refused.status() == StatusCode::SERVICE_UNAVAILABLE
            && refused.headers().contains_key(RETRY_AFTER)
    })
    .await
    .unwrap();
    assert_eq!(available(&scene, &scene.store, "0").await, UNITS);
    scene.central.restart().await.unwrap();
    until("orders are taken again", PATIENCE, || async {
        order(&scene, "after", "card").await.status() == StatusCode::CREATED
    })
    .await
    .unwrap();
    scene.converges().await;
    assert_eq!(scene.sold().await, 2);
}

/// Watches an order until it is over: everything that is said of it.
async fn watched(scene: &Scene, url: String) -> String {
    let request = scene.client.get(url).header("X-API-Key", KEY);
    let answer = request.header("Accept", "text/event-stream").send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_streamed_through_a_store_as_central_streams_it() {
    let scene = Scene::start().await;
    let placed: Value = order(&scene, "k", "card").await.json().await.unwrap();
    let id = placed["orderId"].as_str().unwrap();
    let path = format!("/v1/store/orders/{id}");
    let here = watched(&scene, scene.store.url(&format!("{path}/events")));
    let complete = async {
        let request = scene
            .client
            .post(scene.store.url(&format!("{path}/complete")));
        let request = request.header("X-API-Key", KEY);
        request.header("Idempotency-Key", "c").send().await.unwrap()
    };
    let (here, completed) = tokio::join!(here, complete);
    assert_eq!(completed.status(), StatusCode::OK);
    let there = scene.central.url(&format!("/v1/orders/{id}/events"));
    let there = watched(&scene, there).await;
    assert!(there.contains("event: end"), "{there}");
    assert_eq!(here, there);

    let figures = async |url: String| -> Value {
        let request = scene.client.get(url).header("X-API-Key", KEY);
        request.send().await.unwrap().json().await.unwrap()
    };
    let here = figures(scene.store.url("/v1/store/orders/stats")).await;
    let there = scene.central.url("/v1/orders/stats?storeId=store-s1");
    assert_eq!(here, figures(there).await);
    assert_eq!(
        (&here["total"], &here["byStatus"]["completed"]),
        (&json!(1), &json!(1))
    );
}

/// The shop's page, as it is told what happens.
struct Page {
    answer: Response,
    text: String,
}

impl Page {
    async fn open(client: &Client, store: &Service) -> Self {
        let request = client.get(store.url("/v1/store/events"));
        let request = request.header("X-API-Key", KEY).timeout(4 * PATIENCE);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let text = String::new();
        Self { answer, text }
    }

    /// Name and data of the next event.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                let name = field("event: ").unwrap().to_owned();
                let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
                self.text = rest.to_owned();
                return (name, data);
            }
            let part = timeout(PATIENCE, self.answer.chunk()).await;
            let part = part.unwrap().unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}

/// Places an order as soon as orders are taken; its id.
async fn placed(scene: &Scene, store: &Service, key: &str) -> Value {
    until("orders are taken", PATIENCE, || async {
        order_at(scene, store, key, "card").await.status() == StatusCode::CREATED
    })
    .await
    .unwrap();
    let again = order_at(scene, store, key, "card").await;
    again.json::<Value>().await.unwrap()["orderId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shops_page_hears_of_its_orders_over_restarts_of_central() {
    let mut scene = Scene::start().await;
    // Past the proxy, which passes on whole answers only.
    let folder = scene.dir.path().join("store-s2");
    let store = Service::store_with("store-s2", &folder, scene.central.address(), &SHORT);
    let store = store.await.unwrap();
    crate::scene::converges(&scene.client, &scene.central, &store).await;
    let mut page = Page::open(&scene.client, &store).await;
    let mut id = placed(&scene, &store, "0").await;
    loop {
        let (name, data) = page.next().await;
        match name.as_str() {
            "order" if data["orderId"] == id => break,
            // The store has just begun to listen; what was before is to be loaded.
            "resync" => id = placed(&scene, &store, "1").await,
            _ => {}
        }
    }
    for key in ["2", "3"] {
        scene.central.kill().unwrap();
        scene.central.restart().await.unwrap();
        let id = placed(&scene, &store, key).await;
        loop {
            let (name, data) = page.next().await;
            assert_ne!(name, "resync", "nothing was missed");
            if name == "order" && data["orderId"] == id {
                assert_eq!(data["data"]["storeId"], "store-s2");
                break;
            }
        }
    }
}
