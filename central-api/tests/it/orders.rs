//! Orders over HTTP: a real central, and a payment provider that can be asked what it really did.

use std::sync::Arc;
use std::time::Duration;

use central_api::payments::simulated::Simulated;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, Guarded, NotSent, PaymentKey, PaymentProvider, RefundOutcome,
    RefundRequest, Text, VoidOutcome,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use shared::policy::{Breaker, BreakerSettings};
use shared::service::system_clock::SystemClock;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

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

/// A provider that charges when it is let.
#[derive(Debug)]
struct Gated {
    bank: Arc<Simulated>,
    gate: Notify,
}

impl PaymentProvider for Gated {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async move {
            self.gate.notified().await;
            self.bank.charge(request).await
        })
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        self.bank.void(request)
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        self.bank.refund(request)
    }
}

/// A provider that does not accept our key, and counts.
#[derive(Debug, Default)]
struct Closed {
    asked: watch::Sender<u32>,
}

impl Closed {
    fn refuse(&self) -> NotSent {
        self.asked.send_modify(|asked| *asked += 1);
        NotSent::Refused(Text::new("api_key_expired"))
    }
}

impl PaymentProvider for Closed {
    fn charge<'a>(&'a self, _: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async { ChargeOutcome::NotSent(self.refuse()) })
    }

    fn void<'a>(&'a self, _: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async { VoidOutcome::NotSent(self.refuse()) })
    }

    fn refund<'a>(&'a self, _: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async { RefundOutcome::NotSent(self.refuse()) })
    }
}

fn idle_bank() -> Arc<Simulated> {
    Arc::new(Simulated::new(Arc::new(SystemClock), CALL * 2))
}

/// 201 says that it is paid, which an order is not that somebody has cancelled before.
#[tokio::test]
async fn an_order_that_was_cancelled_before_it_was_paid_is_no_sale_to_anybody() {
    let bank = idle_bank();
    let gated = Arc::new(Gated {
        bank: Arc::clone(&bank),
        gate: Notify::new(),
    });
    let shop = Shop::open_at(Arc::clone(&gated) as _, bank, patient()).await;
    let mut moves = shop.central.ledger.published().moves();
    let cancel = async {
        let id = loop {
            moves.mark_unchanged();
            let open = shop.central.ledger.published().books.open_orders();
            if let Some(id) = open.into_iter().next() {
                break id;
            }
            moves.changed().await.unwrap();
        };
        let order = json!({"orderId": id.as_str()});
        shop.take(&order, "cancel", "c").await.expect(200);
        gated.gate.notify_one();
    };
    let (waiting, ()) = tokio::join!(shop.place("k", |_| {}), cancel);
    let again = shop.place("k", |_| {}).await;
    for answer in [&waiting, &again] {
        let problem = answer.expect(409);
        assert_eq!(problem["code"], "illegal_transition");
        assert_eq!(problem["orderStatus"], "cancelled");
        assert_eq!(problem["order"]["status"], "cancelled");
    }
    assert_eq!(again.header("idempotent-replayed"), "true");
    shop.at_rest().await;
    let problem = again.expect(409);
    assert_eq!(shop.charged(&problem["order"]), (1, 500, 500));
    assert_eq!(shop.stock("A").await, (10, 0, 10));
    shop.central.stop().await;
}

#[tokio::test]
async fn calls_that_were_not_sent_are_written_down_once() {
    let closed = Arc::new(Closed::default());
    let mut asked = closed.asked.subscribe();
    let shop = Shop::open_at(Arc::clone(&closed) as _, idle_bank(), patient()).await;
    let order = shop.place("k", |_| {}).await.expect(202);
    let path = format!("/v1/orders/{}", order["orderId"].as_str().unwrap());
    let body = json!({"shippingAddress": "here"});
    for attempt in 2..6 {
        // Whoever touches the order wakes its task; from the second time on this changes nothing.
        let put = shop
            .central
            .send(reqwest::Method::PUT, &path, &[], Some(&body));
        put.await.expect(200);
        let more = asked.wait_for(|asked| *asked >= attempt);
        tokio::time::timeout(PATIENCE, more).await.unwrap().unwrap();
    }
    let history = shop
        .central
        .get(&format!("{path}/events"))
        .await
        .expect(200);
    let events = history["events"].as_array().unwrap().iter();
    let kinds: Vec<&str> = events.map(|it| it["eventType"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["order_reserved", "payment_unknown", "address_changed"]
    );
    shop.central.stop().await;
}

#[tokio::test]
async fn while_our_key_is_not_accepted_orders_hold_nothing() {
    let shop = Shop::open_at(
        Arc::new(Closed::default()),
        idle_bank(),
        BreakerSettings::default(),
    )
    .await;
    let mut number = 0;
    let refused = loop {
        let key = format!("k{number}");
        let placed = shop.place(&key, |body| {
            body["items"] = json!([{"productId": "A", "quantity": 1}]);
        });
        let placed = placed.await;
        if placed.status != 202 {
            break placed;
        }
        number += 1;
        assert!(number <= 5, "the breaker stays closed");
    };
    assert_eq!(refused.expect(503)["code"], "payment_unavailable");
    let (_, reserved, _) = shop.stock("A").await;
    assert_eq!(reserved, number);
    shop.central.stop().await;
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

#[tokio::test]
async fn calling_off_gives_stock_and_money_back_once() {
    let shop = Shop::open().await;
    // Before it is known whether it is paid, when it is paid, and when its units have left.
    for (key, method, confirm) in [
        ("unknown", "card_timeout", true),
        ("late", "card_lost_answer", true),
        ("paid", "card", false),
        ("confirmed", "card", true),
    ] {
        let placed = shop.place(key, |body| {
            body["paymentMethod"] = json!(method);
            body["confirm"] = json!(confirm);
        });
        let order = placed.await.json();
        for attempt in 0..3 {
            let cancelled = shop
                .take(&order, "cancel", &format!("{key}-{attempt}"))
                .await;
            assert_eq!(cancelled.expect(200)["status"], "cancelled", "{key}");
        }
        shop.at_rest().await;
        assert_eq!(shop.stock("A").await, (10, 0, 10), "{key}");
        let (_, charged, refunded) = shop.charged(&order);
        assert_eq!(charged, refunded, "{key}");
        let refused = shop.take(&order, "confirm", &format!("{key}-c")).await;
        let problem = refused.expect(409);
        assert_eq!(problem["code"], "illegal_transition");
        assert_eq!(problem["allowed"], json!([]));
    }
    shop.central.stop().await;
}

#[tokio::test]
async fn statuses_are_taken_by_word_and_only_where_they_can_follow() {
    let shop = Shop::open().await;
    let order = shop
        .place("k", |body| body["confirm"] = json!(false))
        .await
        .expect(201);
    assert_eq!(order["status"], "paid");
    assert_eq!(shop.stock("A").await, (10, 2, 8));
    let path = format!("/v1/orders/{}/status", order["orderId"].as_str().unwrap());
    let put = |status: &str, key: &str| {
        let body = json!({"status": status, "idempotencyKey": key});
        let (central, path) = (&shop.central, &path);
        async move {
            central
                .send(reqwest::Method::PUT, path, &[], Some(&body))
                .await
        }
    };
    let early = put("COMPLETED", "a").await.expect(409);
    assert_eq!(early["allowed"], json!(["confirmed", "cancelled"]));
    assert_eq!(put("paid", "b").await.expect(200)["status"], "paid");
    // Who saw another version is told so, also where there is nothing to do.
    let stale = json!({"status": "paid", "version": 1});
    let put_stale = shop
        .central
        .send(reqwest::Method::PUT, &path, &[], Some(&stale));
    assert_eq!(put_stale.await.expect(409)["code"], "version_conflict");
    let (stale, header) = (json!({"status": "paid"}), [("if-match", "\"1\"")]);
    let put_stale = shop
        .central
        .send(reqwest::Method::PUT, &path, &header, Some(&stale));
    assert_eq!(put_stale.await.expect(412)["code"], "precondition_failed");
    assert_eq!(
        put("pending", "c").await.expect(409)["code"],
        "illegal_transition"
    );
    assert_eq!(
        put("shipped", "d").await.expect(400)["details"][0]["field"],
        "status"
    );
    assert_eq!(
        put("CONFIRMED", "e").await.expect(200)["status"],
        "confirmed"
    );
    assert_eq!(
        put("completed", "f").await.expect(200)["status"],
        "completed"
    );
    assert_eq!(
        put("cancelled", "g").await.expect(409)["orderStatus"],
        "completed"
    );
    assert_eq!(shop.stock("A").await, (8, 0, 8));
    shop.central.stop().await;
}

#[tokio::test]
async fn confirming_and_cancelling_at_the_same_time_has_one_winner() {
    let shop = Shop::open().await;
    for round in 0..10 {
        let key = format!("k{round}");
        let order = shop.place(&key, |body| {
            body["confirm"] = json!(false);
            body["items"] = json!([{"productId": "A", "quantity": 1}]);
        });
        let order = order.await.expect(201);
        let id = order["orderId"].as_str().unwrap();
        let version = order["version"].clone();
        let step = |step: &str| {
            let path = format!("/v1/orders/{id}/{step}");
            let body = json!({"version": version, "idempotencyKey": format!("{step}-{round}")});
            let central = &shop.central;
            async move { central.post(&path, &[], &body).await.status.as_u16() }
        };
        let (confirmed, cancelled) = tokio::join!(step("confirm"), step("cancel"));
        let mut codes = [confirmed, cancelled];
        codes.sort_unstable();
        assert_eq!(codes, [200, 409]);
        shop.take(&order, "cancel", &format!("end-{round}"))
            .await
            .expect(200);
    }
    shop.at_rest().await;
    assert_eq!(shop.stock("A").await, (10, 0, 10));
    let total = shop.bank.total();
    assert_eq!(total.charged_minor, total.refunded_minor);
    shop.central.stop().await;
}

#[tokio::test]
async fn a_shop_moves_its_own_orders_only() {
    let shop = Shop::open().await;
    let own = shop
        .place("own", |body| body["storeId"] = json!("store-s1"))
        .await
        .expect(201);
    let other = shop
        .place("other", |body| body["storeId"] = json!("store-s2"))
        .await
        .expect(201);
    let cancel = |order: &Value| {
        let path = format!("/v1/orders/{}/cancel", order["orderId"].as_str().unwrap());
        let central = &shop.central;
        async move {
            let headers = [("x-api-key", SHOP), ("idempotency-key", "x")];
            central.post(&path, &headers, &json!({})).await
        }
    };
    cancel(&other).await.expect(403);
    cancel(&own).await.expect(200);
    let named = json!({
        "customerId": "ann", "storeId": "store-s2", "items": [{"productId": "A", "quantity": 1}],
    });
    let headers = [("x-api-key", SHOP), ("idempotency-key", "y")];
    shop.central
        .post("/v1/orders", &headers, &named)
        .await
        .expect(403);
    shop.central.stop().await;
}

#[tokio::test]
async fn an_open_breaker_begins_nothing_and_repeats_are_answered_all_the_same() {
    let shop = Shop::open_with(BreakerSettings::default()).await;
    let before = shop.place("before", |_| {}).await;
    before.expect(201);
    // Five calls that nobody answers open it; some of them are repeats in the background.
    let mut number = 0;
    loop {
        let key = format!("t{number}");
        let placed = shop.place(&key, |body| {
            body["paymentMethod"] = json!("card_timeout");
            body["items"] = json!([{"productId": "B", "quantity": 1}]);
        });
        if placed.await.status == 503 {
            break;
        }
        number += 1;
        assert!(number <= 5, "the breaker stays closed");
    }
    let held = shop.stock("B").await;
    let head = shop.central.ledger.published().head();
    let refused = shop.place("refused", |body| {
        body["items"] = json!([{"productId": "B", "quantity": 1}]);
    });
    let refused = refused.await;
    assert_eq!(refused.expect(503)["code"], "payment_unavailable");
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&wait));
    assert_eq!(shop.central.ledger.published().head(), head);
    assert_eq!(shop.stock("B").await, held);
    let again = shop.place("before", |_| {}).await;
    assert_eq!(again.bytes, before.bytes);
    // It is not remembered: once the provider is back, the same key buys.
    let reset = "/v1/circuit-breakers/payments/reset";
    shop.central.post(reset, &[], &json!({})).await.expect(200);
    let bought = shop.place("refused", |body| {
        body["items"] = json!([{"productId": "B", "quantity": 1}]);
    });
    bought.await.expect(201);
    shop.central.stop().await;
}

#[tokio::test]
async fn an_order_that_was_under_way_is_taken_up_after_a_restart() {
    let shop = Shop::open().await;
    let placed = shop
        .place("k", |body| body["paymentMethod"] = json!("card_timeout"))
        .await;
    let order = placed.expect(202);
    let Shop { central, dir, .. } = shop;
    central.stop().await;
    // Another life, with a bank that remembers nothing and is asked the same.
    let (central, bank) = start(&dir, patient()).await;
    let shop = Shop { central, bank, dir };
    assert_eq!(shop.stock("A").await, (10, 2, 8));
    shop.take(&order, "cancel", "c").await.expect(200);
    shop.at_rest().await;
    assert_eq!(shop.stock("A").await, (10, 0, 10));
    shop.central.stop().await;
}

#[tokio::test]
async fn a_refund_goes_as_far_as_the_charge() {
    let shop = Shop::open().await;
    let order = shop.place("k", |_| {}).await.expect(201);
    let payment = order["payment"]["paymentId"].as_str().unwrap();
    let path = format!("/v1/payments/{payment}/refund");
    let refund = |amount: Value, key: &str| {
        let body = json!({"amount": amount, "idempotencyKey": key});
        let (central, path) = (&shop.central, &path);
        async move { central.post(path, &[], &body).await }
    };
    refund(json!(5.01), "a").await.expect(409);
    refund(json!(0), "b").await.expect(400);
    refund(json!(2), "c").await.expect(200);
    shop.at_rest().await;
    let replayed = refund(json!(2), "c").await;
    assert_eq!(replayed.header("idempotent-replayed"), "true");
    assert_eq!(shop.charged(&order), (1, 500, 200));
    refund(Value::Null, "d").await.expect(200);
    shop.at_rest().await;
    assert_eq!(shop.charged(&order), (1, 500, 500));
    assert_eq!(
        refund(Value::Null, "e").await.expect(409)["code"],
        "not_refundable"
    );
    let headers = [("x-api-key", SHOP), ("idempotency-key", "f")];
    shop.central
        .post(&path, &headers, &json!({}))
        .await
        .expect(403);
    let nobody = "/v1/payments/pay-nobody/refund";
    let headers = [("idempotency-key", "g")];
    let unknown = shop.central.post(nobody, &headers, &json!({})).await;
    assert_eq!(unknown.expect(404)["code"], "payment_not_found");
    shop.central.stop().await;
}
