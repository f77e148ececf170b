//! A refund that the provider has accepted and not given yet, from the order to the money and through
//! restarts: it stays open until it is known what became of it, and is asked for once.
//!
//! As in [`spent_key`](crate::spent_key), each life of central looks at once at what was left to be done.

use serde_json::Value;
use shared::domain::order::PaymentStatus;

use crate::fake_stripe::{Endpoint, Fault};
use crate::harness::eventually;
use crate::served::Served;
use crate::spent_key::{PRICE, Scene, payment};

const CARD: &str = "pm_card_pendingRefund";

/// How often it was written down that the refund is not decided; `None` once it is.
fn looks(central: &Served, id: &str) -> Option<u32> {
    payment(central, id).refund.map(|refund| refund.attempts)
}

/// The orders that a list has.
async fn listed(central: &Served, query: &str) -> Vec<Value> {
    let list = central
        .get(&format!("/v1/orders?{query}"))
        .await
        .expect(200);
    let orders = list["orders"].as_array().unwrap().iter();
    orders.map(|order| order["orderId"].clone()).collect()
}

#[tokio::test]
async fn a_pending_refund_stays_open_until_it_is_given_or_refused() {
    for (status, expected) in [
        ("succeeded", PaymentStatus::Refunded),
        ("failed", PaymentStatus::RefundFailed),
    ] {
        let scene = Scene::new().await;
        let central = scene.life().await;
        let id = scene.called_off(&central, CARD, Fault::None).await;
        eventually("it is accepted", async || looks(&central, &id) == Some(1)).await;
        assert_eq!(payment(&central, &id).status, PaymentStatus::Approved);
        assert_eq!(listed(&central, "refund=open").await, [id.as_str()]);
        let stats = central.get("/v1/orders/stats").await.expect(200);
        assert_eq!(
            (&stats["refundsOpen"], &stats["refundsFailed"]),
            (&1.into(), &0.into())
        );
        central.stop().await;

        // Days later the provider knows the key no more.
        scene.clock.advance_millis(3 * 24 * 3_600_000);
        scene.fake.forget_keys();
        let central = scene.life().await;
        eventually("it is looked at", async || looks(&central, &id) == Some(2)).await;
        let asked = scene.fake.arrived(Endpoint::Refund);
        central.stop().await;

        scene.fake.settle_refunds(status, None);
        let central = scene.life().await;
        eventually("it is decided", async || looks(&central, &id).is_none()).await;
        assert_eq!(payment(&central, &id).status, expected);
        assert_eq!(
            scene.fake.arrived(Endpoint::Refund),
            asked,
            "asked for once"
        );
        let given = i64::from(status == "succeeded") * PRICE;
        assert_eq!(scene.fake.refunds().1, given);
        let failed = listed(&central, "refund=failed").await;
        assert_eq!(failed.is_empty(), status == "succeeded");
        assert!(listed(&central, "refund=open").await.is_empty());
        central.stop().await;
    }
}
