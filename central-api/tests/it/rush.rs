//! A thousand customers at once, a bank that loses a question or an answer in ten, and a hundred
//! units: what exists is sold, once, and paid for, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use central_api::payments::simulated::Simulated;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, Doubt, Guarded, PaymentProvider, RefundOutcome, RefundRequest,
    VoidOutcome,
};
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use shared::policy::{Breaker, BreakerSettings};
use shared::service::system_clock::SystemClock;

use crate::served::{PATIENCE, Reply, Served, create, decide};

const PRODUCTS: [&str; 5] = ["A", "B", "C", "D", "E"];
const UNITS: i64 = 20;
const PRICE: i64 = 250;

/// A bank behind a bad line: of ten calls one never arrives and one is never answered.
#[derive(Debug)]
struct BadLine {
    bank: Arc<Simulated>,
    calls: AtomicU64,
    lost: AtomicU64,
}

enum Luck {
    Good,
    QuestionLost,
    AnswerLost,
}

impl BadLine {
    fn luck(&self) -> Luck {
        match self.calls.fetch_add(1, Ordering::Relaxed) % 20 {
            3 => Luck::QuestionLost,
            13 => Luck::AnswerLost,
            _ => return Luck::Good,
        }
        .counted(&self.lost)
    }
}

impl Luck {
    fn counted(self, lost: &AtomicU64) -> Self {
        lost.fetch_add(1, Ordering::Relaxed);
        self
    }
}

impl PaymentProvider for BadLine {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async move {
            match self.luck() {
                Luck::Good => self.bank.charge(request).await,
                Luck::QuestionLost => ChargeOutcome::Unknown(Doubt::ConnectionLost),
                Luck::AnswerLost => {
                    self.bank.charge(request).await;
                    ChargeOutcome::Unknown(Doubt::ConnectionLost)
                }
            }
        })
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async move {
            match self.luck() {
                Luck::Good => self.bank.void(request).await,
                Luck::QuestionLost => VoidOutcome::Unknown(Doubt::ConnectionLost),
                Luck::AnswerLost => {
                    self.bank.void(request).await;
                    VoidOutcome::Unknown(Doubt::ConnectionLost)
                }
            }
        })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async move {
            match self.luck() {
                Luck::Good => self.bank.refund(request).await,
                Luck::QuestionLost => RefundOutcome::Unknown(Doubt::ConnectionLost),
                Luck::AnswerLost => {
                    self.bank.refund(request).await;
                    RefundOutcome::Unknown(Doubt::ConnectionLost)
                }
            }
        })
    }
}

async fn place(central: &Served, number: usize) -> Reply {
    let method = if number.is_multiple_of(10) {
        "card_declined"
    } else {
        "card"
    };
    let body = json!({
        "customerId": format!("customer-{number}"), "paymentMethod": method,
        "items": [{"productId": PRODUCTS[number % 5], "quantity": 1}],
    });
    let key = format!("order-{number}");
    central
        .post("/v1/orders", &[("idempotency-key", &key)], &body)
        .await
}

/// Waits until nothing is left to be done about any order.
async fn at_rest(central: &Served) {
    let mut moves = central.ledger.published().moves();
    let resting = async {
        loop {
            moves.mark_unchanged();
            if central.ledger.published().books.open_orders().is_empty() {
                return;
            }
            moves.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, resting).await.unwrap();
}

async fn stock(central: &Served) -> Vec<(i64, i64)> {
    let mut stock = Vec::new();
    for product in PRODUCTS {
        let shown = central
            .get(&format!("/v1/inventory/{product}"))
            .await
            .expect(200);
        let figure = |name: &str| shown[name].as_i64().unwrap();
        stock.push((figure("onHand"), figure("reserved")));
    }
    stock
}

/// The products, with their units and price.
async fn stock_up(central: &Served) {
    decide(&central.ledger, create(PRODUCTS.map(str::to_owned), UNITS)).await;
    for product in PRODUCTS {
        let path = format!("/v1/products/{product}");
        let body = json!({"price": 2.5, "version": null});
        central
            .send(reqwest::Method::PUT, &path, &[], Some(&body))
            .await
            .expect(200);
    }
}

fn confirmed(orders: &[Value]) -> i64 {
    let confirmed = orders.iter().filter(|order| order["status"] == "confirmed");
    i64::try_from(confirmed.count()).unwrap()
}

#[tokio::test]
async fn a_thousand_orders_for_a_hundred_units_sell_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let late = Duration::from_secs(1);
    let bank = Arc::new(Simulated::new(Arc::new(SystemClock), late));
    let line = Arc::new(BadLine {
        bank: Arc::clone(&bank),
        calls: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    });
    let patient = BreakerSettings {
        calls_min: 100_000,
        consecutive_failures: 100_000,
        ..BreakerSettings::default()
    };
    let breaker = Breaker::try_new(patient).unwrap();
    let guarded = Guarded::new(Arc::clone(&line) as _, breaker, Duration::from_secs(5));
    let central = Served::start_paying(&dir, Arc::new(guarded)).await;
    stock_up(&central).await;

    // All at once, and everybody asks a second time.
    let twice = (0..1_000).chain(0..1_000);
    let answers = join_all(twice.map(|number| place(&central, number))).await;
    for answer in &answers {
        let status = answer.status.as_u16();
        assert!(
            matches!(status, 201 | 202 | 402 | 409),
            "{:?}",
            answer.json()
        );
    }
    at_rest(&central).await;
    // What declined cards have given back is for those who come now, and what those of them give back
    // whose bank was slow to say no, for those who come then.
    let mut customers = 1_000;
    while stock(&central).await != [(0, 0); 5] && customers < 10_000 {
        for number in customers..customers + 200 {
            place(&central, number).await;
        }
        customers += 200;
        at_rest(&central).await;
    }

    assert!(
        line.lost.load(Ordering::Relaxed) > 5,
        "the line was not bad"
    );
    let mut orders = Vec::new();
    for number in 0..customers {
        let answer = place(&central, number).await;
        assert_eq!(answer.header("idempotent-replayed"), "true");
        let body = answer.json();
        match answer.status.as_u16() {
            201 => orders.push(body),
            402 | 409 => orders.push(body["order"].clone()),
            other => panic!("{other}: {body}"),
        }
    }
    let sold = confirmed(&orders);
    assert_eq!(sold, UNITS * 5, "exactly what there was");
    assert_eq!(
        stock(&central).await,
        [(0, 0); 5],
        "nothing is left and nothing is held"
    );
    let total = bank.total();
    assert_eq!(total.charged_minor - total.refunded_minor, sold * PRICE);
    for order in &orders {
        let failed = order["status"] == "failed";
        assert!(failed || order["status"] == "confirmed", "{order}");
    }
    central.stop().await;
}
