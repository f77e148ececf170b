//! A refund whose key the provider answers with an old failure, from the order to the money and through
//! restarts: it waits an hour of its own, is looked for, and is given under a second key, once.
//!
//! Nobody waits for an hour: the clock of ledger and provider's client is the test's. Each life of
//! central asks at once what was left to be done, so no test waits for a runner's next try either.

use std::sync::Arc;
use std::time::Duration;

use central_api::payments::Guarded;
use central_api::payments::stripe::Stripe;
use secrecy::SecretString;
use serde_json::json;
use shared::clock::{ManualClock, Timestamp};
use shared::domain::order::{Payment, PaymentStatus};
use shared::limits;
use shared::policy::{Breaker, BreakerSettings};
use tempfile::TempDir;

use crate::fake_stripe::{Endpoint, FakeStripe, Fault, SECRET};
use crate::harness::{client, eventually};
use crate::served::Served;
use crate::shop::stocked;

const START: Timestamp = Timestamp::from_millis(1_768_473_000_000);
pub(crate) const PRICE: i64 = 195;

/// A folder, the provider, and the time.
pub(crate) struct Scene {
    dir: TempDir,
    pub(crate) fake: FakeStripe,
    pub(crate) clock: Arc<ManualClock>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            fake: FakeStripe::start().await,
            clock: Arc::new(ManualClock::at(START)),
        }
    }

    /// Central over the same folder, until it is stopped.
    pub(crate) async fn life(&self) -> Served {
        drop(client()); // Installs the TLS provider.
        let secret = SecretString::from(SECRET);
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let stripe = Stripe::new(&self.fake.url, &secret, clock).unwrap();
        let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
        let guarded = Guarded::new(Arc::new(stripe), breaker, Duration::from_secs(5));
        let clock = Arc::<ManualClock>::clone(&self.clock);
        Served::start_paying_by(&self.dir, Arc::new(guarded), clock).await
    }

    /// An order that was paid with `card` and is called off, while the provider has `fault` for its refund.
    pub(crate) async fn called_off(&self, central: &Served, card: &str, fault: Fault) -> String {
        stocked(&central.ledger, &["A"], 10).await;
        let body = json!({
            "customerId": "ann", "items": [{"productId": "A", "quantity": 1}],
            "paymentMethod": card,
        });
        let key = [("idempotency-key", "k")];
        let order = central.post("/v1/orders", &key, &body).await.expect(201);
        let id = order["orderId"].as_str().unwrap().to_owned();
        self.fake.misbehave(Endpoint::Refund, fault);
        let path = format!("/v1/orders/{id}/cancel");
        let key = [("idempotency-key", "c")];
        central.post(&path, &key, &json!({})).await.expect(200);
        id
    }
}

pub(crate) fn payment(central: &Served, id: &str) -> Payment {
    let order = central.ledger.published().books.order(id).unwrap();
    order.payment.clone().unwrap()
}

/// The key in use, and whether it is known to be spent; `None` once nothing is on its way.
fn key(central: &Served, id: &str) -> Option<(u32, bool)> {
    let refund = payment(central, id).refund?;
    Some((refund.key_number, refund.spent_since.is_some()))
}

async fn until(central: &Served, id: &str, expected: Option<(u32, bool)>) {
    let what = format!("the refund stands at {expected:?}");
    eventually(&what, async || key(central, id) == expected).await;
}

fn hour() -> i64 {
    i64::try_from(limits::REFUND_KEY_WAIT.as_millis()).unwrap()
}

#[tokio::test]
async fn a_refund_whose_key_is_spent_is_given_once_under_a_second_key_after_its_wait() {
    let scene = Scene::new().await;
    // The provider is away for three hours first: the wait does not begin before it has answered.
    let central = scene.life().await;
    let card = "pm_card_visa";
    let id = scene.called_off(&central, card, Fault::Unavailable).await;
    eventually("it was asked", async || {
        scene.fake.arrived(Endpoint::Refund) >= 1
    })
    .await;
    central.stop().await;
    scene.clock.advance_millis(3 * hour());
    scene.fake.misbehave(Endpoint::Refund, Fault::FailsBefore);
    let central = scene.life().await;
    until(&central, &id, Some((1, true))).await;
    central.stop().await;

    // A moment before its time nothing changes, however often it is asked.
    scene.clock.advance_millis(hour() - 1);
    let before = scene.fake.arrived(Endpoint::Refund);
    let central = scene.life().await;
    let version = central.ledger.published().books.order(&id).unwrap().version;
    eventually("it is asked again, and that is written down", async || {
        let order = central.ledger.published().books.order(&id).unwrap();
        order.version > version
    })
    .await;
    assert!(scene.fake.arrived(Endpoint::Refund) > before);
    assert_eq!(key(&central, &id), Some((1, true)));
    central.stop().await;

    // The second key is durable before it is used. Central stops while the answer to it is awaited,
    // which never comes, though the money went back.
    scene.clock.advance_millis(1);
    let central = scene.life().await;
    scene.fake.misbehave(Endpoint::Refund, Fault::None);
    scene.fake.misbehave(Endpoint::Refund, Fault::Silence);
    until(&central, &id, Some((2, false))).await;
    scene.fake.silence().await;
    assert_eq!(key(&central, &id), Some((2, false)));
    central.stop().await;
    assert_eq!(scene.fake.refunds(), (1, PRICE));

    let asked = scene.fake.arrived(Endpoint::Refund);
    let central = scene.life().await;
    until(&central, &id, None).await;
    let payment = payment(&central, &id);
    assert_eq!(payment.status, PaymentStatus::Refunded, "{payment:?}");
    central.stop().await;
    // It was found, not asked for again; and the second key came last and once.
    assert_eq!(scene.fake.arrived(Endpoint::Refund), asked);
    assert_eq!(scene.fake.refunds(), (1, PRICE));
    let keys = scene.fake.refund_keys();
    let (last, others) = keys.split_last().unwrap();
    assert!(last.ends_with("-refund-1-refund-2"), "{keys:?}");
    assert!(
        others.iter().all(|key| key.ends_with("-refund-1-refund")),
        "{keys:?}"
    );
}
