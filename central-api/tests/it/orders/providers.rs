//! Orders while the payment provider is slow, does not let us in, or is not asked at all.

use std::sync::Arc;

use central_api::config::PaymentSettings;
use central_api::payments::simulated::Simulated;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, NotSent, PaymentProvider, RefundOutcome, RefundRequest, Text,
    VoidOutcome,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use shared::policy::BreakerSettings;
use shared::service::system_clock::SystemClock;
use tokio::sync::{Notify, watch};

use super::{CALL, Shop, patient, start};
use crate::harness::{TestCentral, eventually, settings};
use crate::served::PATIENCE;

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

/// The service itself, whose order nobody touches after the restart: they look at it and no more.
#[tokio::test]
async fn a_start_takes_up_what_was_under_way() {
    // Where nobody listens any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let mut settings = settings();
    settings.payments = PaymentSettings {
        payment_provider: "stripe".to_owned(),
        payment_url: Some(format!("http://{nobody}")),
        payment_key: Some("sk_test".into()),
        ..PaymentSettings::default()
    };
    let mut central = TestCentral::with(settings).await;
    central.create("A", 10).await;
    let body = json!({
        "customerId": "ann", "storeId": "store-s1", "idempotencyKey": "k",
        "paymentMethod": "pm_card_visa", "items": [{"productId": "A", "quantity": 2}],
    });
    let placed = central.post("/v1/orders", &body).await;
    assert_eq!(placed.status(), 202);
    let placed: Value = placed.json().await.unwrap();
    let path = format!("/v1/orders/{}", placed["orderId"].as_str().unwrap());
    let before = central.get_json(&path).await;
    assert!(before["payment"]["reference"].is_null(), "{before}");

    central.stop().await;
    central.settings.payments = PaymentSettings::default();
    let mut central = central.restart().await;
    eventually("it is confirmed", async || {
        central.get_json(&path).await["status"] == "confirmed"
    })
    .await;
    let product = central.get_json("/v1/inventory/A").await;
    assert_eq!(
        (&product["onHand"], &product["reserved"]),
        (&json!(8), &json!(0))
    );
    central.stop().await;
}
