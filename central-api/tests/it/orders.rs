//! Orders over HTTP: a real central, and a payment provider that can be asked what it really did.

mod providers;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use central_api::payments::simulated::Simulated;
use central_api::payments::{Guarded, PaymentKey, PaymentProvider};
use serde_json::{Value, json};
use shared::policy::{Breaker, BreakerSettings};
use shared::service::system_clock::SystemClock;
use tempfile::TempDir;

use crate::harness::fields;
use crate::served::{PATIENCE, Reply, SHOP, Served, create};

/// How long a call to the provider may take in these tests.
const CALL: Duration = Duration::from_millis(40);

struct Shop {
    central: Served,
    bank: Arc<Simulated>,
    dir: TempDir,
}

impl Shop {
    /// A shop with 10 units each of `A` and `B`, at 2.50.
    async fn open() -> Self {
        Self::open_with(patient()).await
    }

    async fn open_with(breaker: BreakerSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (central, bank) = start(&dir, breaker).await;
        Self::stocked(central, bank, dir).await
    }

    /// The same at another provider; `bank` is what tells what really happened.
    async fn open_at(
        provider: Arc<dyn PaymentProvider>,
        bank: Arc<Simulated>,
        breaker: BreakerSettings,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let breaker = Breaker::try_new(breaker).unwrap();
        let guarded = Arc::new(Guarded::new(provider, breaker, PATIENCE));
        let central = Served::start_paying(&dir, guarded).await;
        Self::stocked(central, bank, dir).await
    }

    async fn stocked(central: Served, bank: Arc<Simulated>, dir: TempDir) -> Self {
        crate::served::decide(&central.ledger, create(["A", "B"].map(str::to_owned), 10)).await;
        for product in ["A", "B"] {
            let path = format!("/v1/products/{product}");
            let body = json!({"price": 2.5, "version": null});
            let priced = central
                .send(reqwest::Method::PUT, &path, &[], Some(&body))
                .await;
            priced.expect(200);
        }
        Self { central, bank, dir }
    }

    async fn place(&self, key: &str, change: impl FnOnce(&mut Value)) -> Reply {
        let mut body = json!({"customerId": "ann", "items": [{"productId": "A", "quantity": 2}]});
        change(&mut body);
        let headers = [("idempotency-key", key)];
        self.central.post("/v1/orders", &headers, &body).await
    }

    async fn take(&self, order: &Value, step: &str, key: &str) -> Reply {
        let path = format!("/v1/orders/{}/{step}", order["orderId"].as_str().unwrap());
        let headers = [("idempotency-key", key)];
        self.central.post(&path, &headers, &json!({})).await
    }

    /// `(onHand, reserved, available)` of a product.
    async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let shown = self.central.get(&format!("/v1/inventory/{product}")).await;
        let shown = shown.expect(200);
        let figure = |name: &str| shown[name].as_i64().unwrap();
        (figure("onHand"), figure("reserved"), figure("available"))
    }

    /// Waits until nothing is left to be done about any order.
    async fn at_rest(&self) {
        let mut moves = self.central.ledger.published().moves();
        let resting = async {
            loop {
                moves.mark_unchanged();
                if self
                    .central
                    .ledger
                    .published()
                    .books
                    .open_orders()
                    .is_empty()
                {
                    return;
                }
                moves.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, resting).await.unwrap();
    }

    fn charged(&self, order: &Value) -> (u32, i64, i64) {
        let key = order["payment"]["paymentId"].as_str().unwrap();
        let said = self.bank.statement(&PaymentKey::parse(key).unwrap());
        (said.charges, said.charged_minor, said.refunded_minor)
    }
}

/// A breaker that these tests do not open by the way.
fn patient() -> BreakerSettings {
    BreakerSettings {
        calls_min: 10_000,
        consecutive_failures: 10_000,
        ..BreakerSettings::default()
    }
}

async fn start(dir: &TempDir, breaker: BreakerSettings) -> (Served, Arc<Simulated>) {
    let clock = Arc::new(SystemClock);
    let bank = Arc::new(Simulated::new(clock, CALL * 2));
    let breaker = Breaker::try_new(breaker).unwrap();
    let guarded = Arc::new(Guarded::new(Arc::clone(&bank) as _, breaker, CALL));
    (Served::start_paying(dir, guarded).await, bank)
}

#[tokio::test]
async fn an_order_is_held_paid_and_confirmed() {
    let shop = Shop::open().await;
    let placed = shop
        .place("k", |body| {
            body["items"] = json!([
                {"productId": "A", "quantity": 1}, {"productId": "B", "quantity": 3},
                {"productId": "A", "quantity": 1},
            ]);
            body["shippingAddress"] = json!({"city": "York"});
            body["expectedTotal"] = json!(12.5);
        })
        .await;
    let order = placed.expect(201);
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["totalAmount"], 12.5);
    assert_eq!(order["items"][0]["quantity"], 2);
    assert_eq!(order["payment"]["status"], "approved");
    let id = order["orderId"].as_str().unwrap();
    assert_eq!(placed.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(shop.stock("A").await, (8, 0, 8));
    assert_eq!(shop.charged(&order), (1, 1_250, 0));
    // A copy that has come so far shows all of it: the hold, and the units leaving the shelf.
    let head = shop.central.ledger.published().head().offset;
    assert_eq!(placed.header("log-head"), head.to_string());

    // The same again is the same answer and no second order.
    let again = shop
        .place("k", |body| {
            body["items"] = json!([
                {"productId": "A", "quantity": 1}, {"productId": "B", "quantity": 3},
                {"productId": "A", "quantity": 1},
            ]);
            body["shippingAddress"] = json!({"city": "York"});
            body["expectedTotal"] = json!(12.5);
        })
        .await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((again.status, &again.bytes), (placed.status, &placed.bytes));
    let other = shop.place("k", |_| {}).await;
    assert_eq!(other.expect(422)["code"], "idempotency_key_reused");
    assert_eq!(shop.stock("A").await, (8, 0, 8));
    shop.central.stop().await;
}

#[tokio::test]
async fn a_replay_is_the_first_answer_however_far_the_order_has_gone() {
    let shop = Shop::open().await;
    let placed = shop.place("k", |_| {}).await;
    let order = placed.expect(201);
    shop.take(&order, "complete", "c").await.expect(200);
    let again = shop.place("k", |_| {}).await;
    assert_eq!(again.bytes, placed.bytes);
    // Also after a restart, from the log.
    let Shop { central, dir, .. } = shop;
    central.stop().await;
    let (central, bank) = start(&dir, patient()).await;
    let shop = Shop { central, bank, dir };
    let again = shop.place("k", |_| {}).await;
    assert_eq!(again.bytes, placed.bytes);
    assert_eq!(shop.stock("A").await, (8, 0, 8));
    shop.central.stop().await;
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind_and_says_why() {
    let shop = Shop::open().await;
    let short = shop
        .place("short", |body| {
            body["items"] = json!([
                {"productId": "A", "quantity": 11}, {"productId": "B", "quantity": 1},
            ]);
        })
        .await;
    let problem = short.expect(409);
    assert_eq!(problem["code"], "insufficient_inventory");
    assert_eq!(problem["order"]["status"], "failed");
    assert_eq!(problem["details"][0]["field"], "items[0]");
    // As at a reservation: each short product, where it stands in the request, with the figures.
    let summed = shop
        .place("summed", |body| {
            body["items"] = json!([
                {"productId": "A", "quantity": 1}, {"productId": "A", "quantity": 1},
                {"productId": "B", "quantity": 11},
            ]);
        })
        .await;
    let problem = summed.expect(409);
    assert_eq!(fields(&problem), ["items[2]"]);
    let line = &problem["lines"][0];
    assert_eq!(
        (&line["productId"], &line["requested"], &line["available"]),
        (&json!("B"), &json!(11), &json!(10))
    );

    let declined = shop.place("declined", |body| {
        body["paymentMethod"] = json!("card_declined");
    });
    let problem = declined.await.expect(402);
    assert_eq!(problem["code"], "payment_declined");
    assert_eq!(problem["order"]["failure"]["code"], "card_declined");
    assert_eq!(shop.charged(&problem["order"]), (0, 0, 0));

    let dearer = shop
        .place("dearer", |body| body["expectedTotal"] = json!(4.99))
        .await;
    let problem = dearer.expect(409);
    assert_eq!(problem["code"], "price_changed");
    assert_eq!(problem["prices"], json!([{"productId": "A", "price": 2.5}]));

    let unknown = shop.place("unknown", |body| {
        body["items"] = json!([
            {"productId": "A", "quantity": 1}, {"productId": "X", "quantity": 1},
            {"productId": "A", "quantity": 1}, {"productId": "constructor", "quantity": 1},
        ]);
    });
    let problem = unknown.await.expect(404);
    assert_eq!(problem["code"], "product_not_found");
    assert_eq!(fields(&problem), ["items[1]", "items[3]"]);

    for product in ["A", "B"] {
        assert_eq!(shop.stock(product).await, (10, 0, 10));
    }
    // Each is remembered under its key.
    let again = shop
        .place("dearer", |body| body["expectedTotal"] = json!(4.99))
        .await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    shop.central.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_and_nothing_changes() {
    let shop = Shop::open().await;
    let head = shop.central.ledger.published().head();
    let body = json!({
        "customerId": "a/b", "items": [
            {"productId": "A", "quantity": 0}, {"productId": "A", "quantity": "10"},
            {"productId": "A", "quantity": 1.5}, {"quantity": -5, "price": 1}, 7,
        ],
        "shippingAddress": 5, "confirm": "yes", "expectedTotal": -1, "user": 1,
    });
    let problem = shop
        .central
        .post("/v1/orders", &[], &body)
        .await
        .expect(400);
    let details = problem["details"].as_array().unwrap();
    let fields: Vec<&str> = details
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    for field in [
        "customerId",
        "items[0].quantity",
        "items[1].quantity",
        "items[2].quantity",
        "items[3].productId",
        "items[3].quantity",
        "items[3].price",
        "items[4]",
        "shippingAddress",
        "confirm",
        "expectedTotal",
        "user",
        "idempotencyKey",
    ] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    let empty = shop.place("empty", |body| body["items"] = json!([])).await;
    assert_eq!(empty.expect(400)["details"][0]["field"], "items");
    let unkeyed = json!({"customerId": "ann", "items": [{"productId": "A", "quantity": 1}]});
    let unkeyed = shop.central.post("/v1/orders", &[], &unkeyed).await;
    assert_eq!(unkeyed.expect(400)["code"], "idempotency_key_required");
    assert_eq!(shop.central.ledger.published().head(), head);
    shop.central.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_settled_by_the_same_key() {
    let shop = Shop::open().await;
    for method in ["card_lost_answer", "card_late", "card_error"] {
        let placed = shop
            .place(method, |body| body["paymentMethod"] = json!(method))
            .await;
        let order = placed.json();
        if placed.status == 202 {
            assert_eq!(order["status"], "undecided", "{method}");
            assert_eq!(placed.header("retry-after"), "1");
        }
        shop.at_rest().await;
        let settled = shop
            .place(method, |body| body["paymentMethod"] = json!(method))
            .await;
        let settled = settled.expect(201);
        assert_eq!(settled["status"], "confirmed", "{method}");
        assert_eq!(settled["orderId"], order["orderId"]);
        assert_eq!(shop.charged(&settled), (1, 500, 0), "{method}");
    }
    assert_eq!(shop.stock("A").await, (4, 0, 4));
    shop.central.stop().await;
}
