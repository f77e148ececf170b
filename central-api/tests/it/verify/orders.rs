//! Reservations and orders that are well written and cannot be.
//!
//! Tables: one entry for each kind of damage, over one folder.
//!
//! Longer than most files, because it is tables.

mod reservations;
mod snapshots;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shared::domain::order::Transition;
use tempfile::TempDir;

use super::damage::{Folder, Place};
use super::{frame, line, noticed, verify};
use crate::served::Served;
use crate::shop::{
    approved, declined, key_spent, moved, place, placed, refund_refused, refunded, settled,
    stocked, unknown,
};

/// A folder with everything that a reservation and an order can go through, and two snapshots: one in
/// the midst, while units are held and money is on its way, and one at the end.
async fn traded_in() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start_with(&dir, |config| config.segment_bytes = 4_000).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A", "B"], 10).await;
    let post = async |path: &str, key: &str, body: &Value, status: u16| {
        let headers = [("idempotency-key", key)];
        central.post(path, &headers, body).await.expect(status);
    };
    let lines = json!([{"productId": "A", "quantity": 2}, {"productId": "B", "quantity": 1}]);
    for id in ["released", "committed", "kept"] {
        let body = json!({"reservationId": id, "owner": "ann", "lines": lines});
        post("/v1/reservations", &format!("hold-{id}"), &body, 201).await;
    }
    let body = json!({"ttlSeconds": 3_600});
    post("/v1/reservations/kept/extend", "extend", &body, 200).await;
    post(
        "/v1/reservations/released/release",
        "release",
        &json!({}),
        200,
    )
    .await;
    post(
        "/v1/reservations/committed/commit",
        "commit",
        &json!({}),
        200,
    )
    .await;

    let mut slow = place("slow", "ada", None);
    slow.confirm = false;
    placed(ledger, slow).await;
    unknown(ledger, "slow").await;
    approved(ledger, "slow").await;
    placed(ledger, place("back", "bo", None)).await;
    approved(ledger, "back").await;
    moved(ledger, "back", Transition::Cancel).await;
    key_spent(ledger, "back").await;
    placed(ledger, place("no", "bo", None)).await;
    declined(ledger, "no").await;
    placed(ledger, place("open", "bo", None)).await;
    snapshot_now(&central).await;

    refunded(ledger, "back").await;
    moved(ledger, "slow", Transition::Confirm).await;
    moved(ledger, "slow", Transition::Complete).await;
    approved(ledger, "open").await;
    placed(ledger, place("owed", "bo", None)).await;
    approved(ledger, "owed").await;
    moved(ledger, "owed", Transition::Cancel).await;
    refund_refused(ledger, "owed", 1).await;
    settled(ledger, "owed").await;
    snapshot_now(&central).await;
    central.stop().await;
    let folder = dir.path().to_owned();
    (dir, folder)
}

async fn snapshot_now(central: &Served) {
    let published = std::sync::Arc::clone(central.ledger.published());
    let taken = tokio::task::spawn_blocking(move || published.take_snapshot());
    taken.await.unwrap().unwrap();
}

/// Which record is damaged.
enum Of {
    /// The one with this key.
    Key(&'static str),
    /// The one in which this happened to this order.
    Event(&'static str, &'static str),
}

impl Of {
    fn place(&self, folder: &Folder) -> Place {
        match self {
            Self::Key(key) => folder.keyed(key),
            Self::Event(order, kind) => folder.find(|record| {
                let events = record["orders"].as_array();
                events.is_some_and(|events| {
                    let mut events = events.iter();
                    events.any(|event| event["orderId"] == *order && event["eventType"] == *kind)
                })
            }),
        }
    }
}

/// A kind of damage: its name, the record, what stands there instead of what, and what is said of it.
type Case = (
    &'static str,
    Of,
    &'static [(&'static str, &'static str)],
    &'static str,
);

fn all_noticed(healthy: &Path, cases: &[Case]) {
    for (name, of, words, what) in cases {
        noticed(healthy, name, |folder| {
            let place = of.place(folder);
            folder.change(place, words);
            line(folder, place, what)
        });
    }
}

#[tokio::test]
async fn nothing_is_said_of_reservations_and_orders_that_went_their_way() {
    let (_dir, healthy) = traded_in().await;
    let report = verify(&healthy);
    assert_eq!(report.findings, []);
    assert_eq!(report.snapshots, 2);
}

const PLACED: Of = Of::Event("ord-slow", "order_reserved");
const UNKNOWN: Of = Of::Event("ord-slow", "payment_unknown");
const PAID: Of = Of::Event("ord-slow", "order_paid");
const COMPLETED: Of = Of::Event("ord-slow", "order_completed");
const CANCELLED: Of = Of::Event("ord-back", "order_cancelled");
const SPENT: Of = Of::Event("ord-back", "refund_unknown");
const SETTLED: Of = Of::Event("ord-owed", "refund_settled");
const REFUNDED: Of = Of::Event("ord-back", "refunded");

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn an_order_that_cannot_be_is_noticed() {
    let (_dir, healthy) = traded_in().await;
    all_noticed(
        &healthy,
        &[
            (
                "a total that does not add up",
                PLACED,
                &[("\"totalAmount\":1.95", "\"totalAmount\":1.96")],
                "order ord-slow: its items are not worth its total",
            ),
            (
                "a subtotal that does not follow",
                PLACED,
                &[("\"subtotal\":1.95", "\"subtotal\":1.96")],
                "order ord-slow: A is not worth its subtotal",
            ),
            (
                "an order of other units than its hold",
                PLACED,
                &[
                    (
                        "\"quantity\":1,\"price\":1.95,\"subtotal\":1.95",
                        "\"quantity\":2,\"price\":1.95,\"subtotal\":3.9",
                    ),
                    ("\"totalAmount\":1.95", "\"totalAmount\":3.9"),
                    ("\"amount\":1.95", "\"amount\":3.9"),
                ],
                "order ord-slow and its hold are not about the same units",
            ),
            (
                "an order without its hold",
                Of::Event("ord-open", "order_reserved"),
                &[(
                    "\"status\":\"reserved\",\"reservationId\":\"res-open\"",
                    "\"status\":\"reserved\",\"reservationId\":\"res-none\"",
                )],
                "order ord-open is reserved and holds none",
            ),
            (
                "a step that there is not",
                COMPLETED,
                &[("\"status\":\"completed\"", "\"status\":\"cancelled\"")],
                "order ord-slow: order_completed leads from confirmed to cancelled",
            ),
            (
                "a step that leads elsewhere",
                COMPLETED,
                &[("order_completed", "order_cancelled")],
                "order ord-slow: order_cancelled leads from confirmed to completed",
            ),
            (
                "a step after the end",
                REFUNDED,
                &[("\"status\":\"cancelled\"", "\"status\":\"confirmed\"")],
                "order ord-back: refunded leads from cancelled to confirmed",
            ),
            (
                "an order that begins in the middle",
                PLACED,
                &[("order_reserved", "order_confirmed")],
                "order ord-slow: order_confirmed leads from nothing to reserved",
            ),
            (
                "a failure without a reason",
                Of::Event("ord-no", "payment_declined"),
                &[("\"failure\":", "\"foilure\":")],
                "order ord-no: failed with no failure",
            ),
            (
                "a version that is passed over",
                UNKNOWN,
                &[("\"version\":2", "\"version\":3")],
                "order ord-slow: version 3 follows 1",
            ),
            (
                "a change at another time",
                UNKNOWN,
                &[("\"updatedAt\":\"2", "\"updatedAt\":\"3")],
                "order ord-slow: updatedAt is not its time",
            ),
            (
                "an order of another time",
                PLACED,
                &[("\"createdAt\":\"2", "\"createdAt\":\"3")],
                "order ord-slow: createdAt is not its time",
            ),
            (
                "another buyer than before",
                PAID,
                &[("\"customerId\":\"ada\"", "\"customerId\":\"eve\"")],
                "order ord-slow: it is about something else than before",
            ),
            (
                "an answer that was not the first",
                PAID,
                &[("\"decidedVersion\":3", "\"decidedVersion\":2")],
                "order ord-slow: its outcome is not that of its first decision",
            ),
            (
                "a payment of another amount",
                PLACED,
                &[("\"amount\":1.95", "\"amount\":1.9")],
                "order ord-slow: its payment is not of its total",
            ),
            (
                "another payment than before",
                UNKNOWN,
                &[("pay-slow", "pay-other")],
                "order ord-slow: its payment is another one than before",
            ),
            (
                "a payment that is charged before it is asked for",
                PLACED,
                &[("\"status\":\"requested\"", "\"status\":\"approved\"")],
                "order ord-slow: its payment comes from nowhere",
            ),
            (
                "an order that is paid and was not charged",
                PAID,
                &[("\"status\":\"approved\"", "\"status\":\"unknown\"")],
                "order ord-slow: paid, though it was not charged",
            ),
            (
                "an order that waits for nothing",
                UNKNOWN,
                &[("\"status\":\"unknown\"", "\"status\":\"declined\"")],
                "order ord-slow: undecided, though no payment is open",
            ),
            (
                "money that stays",
                CANCELLED,
                &[(
                    "\"refund\":{\"number\":1,\"amount\":1.95},\"refunds\":1",
                    "\"refunds\":1",
                )],
                "order ord-back: cancelled, and its money does not go back",
            ),
            (
                "a refund that begins under another key",
                CANCELLED,
                &[(
                    "\"number\":1,\"amount\":1.95}",
                    "\"number\":1,\"amount\":1.95,\"keyNumber\":2}",
                )],
                "order ord-back: its refund is another one than before",
            ),
            (
                "a refund that changes on its way",
                SPENT,
                &[(
                    "\"number\":1,\"amount\":1.95",
                    "\"number\":1,\"amount\":1.9",
                )],
                "order ord-back: its refund is another one than before",
            ),
            (
                "a key that was spent at another time",
                SPENT,
                &[("\"spentSince\":\"2", "\"spentSince\":\"3")],
                "order ord-back: its refund is another one than before",
            ),
            (
                "a second key without its wait",
                SPENT,
                &[("\"spentSince\":", "\"keyNumber\":2,\"spent\":")],
                "order ord-back: its refund is another one than before",
            ),
            (
                "more money than was paid",
                REFUNDED,
                &[("\"refundedAmount\":1.95", "\"refundedAmount\":2")],
                "order ord-back: more goes back than was paid",
            ),
            (
                "money that is back by half",
                REFUNDED,
                &[("\"refundedAmount\":1.95", "\"refundedAmount\":1")],
                "order ord-back: its payment of 1.95 is refunded, and 1 went back",
            ),
            (
                "other money than was on its way",
                REFUNDED,
                &[("\"refundedAmount\":1.95", "\"refundedAmount\":1")],
                "order ord-back: refunded leads from 0 given back to 1",
            ),
            (
                "a refund of what was not charged",
                REFUNDED,
                &[("\"status\":\"refunded\"", "\"status\":\"declined\"")],
                "order ord-back: its payment was charged, and is not",
            ),
            (
                "a refund that is counted twice",
                CANCELLED,
                &[("\"refunds\":1", "\"refunds\":2")],
                "order ord-back: its refunds are miscounted",
            ),
            (
                "a refund that was unclear more often than is written down",
                SPENT,
                &[("\"attempts\":1},\"refunds\"", "\"attempts\":2},\"refunds\"")],
                "order ord-back: its refund is another one than before",
            ),
            (
                "money that was settled by what settles nothing",
                SETTLED,
                &[("refund_settled", "refund_unknown")],
                "order ord-owed: refund_unknown leads from 0 settled to 1.95",
            ),
            (
                "money that was settled though nothing was refused",
                Of::Event("ord-owed", "refund_failed"),
                &[
                    ("refund_failed\",\"orderId", "refund_settled\",\"orderId"),
                    (
                        "\"refundedAmount\":0,",
                        "\"refundedAmount\":0,\"settledAmount\":1,",
                    ),
                ],
                "order ord-owed: refund_settled leads from 0 settled to 1",
            ),
            (
                "more money settled than was paid",
                SETTLED,
                &[("\"settledAmount\":1.95", "\"settledAmount\":2")],
                "order ord-owed: more goes back than was paid",
            ),
            (
                "units that do not come back from whoever called it off",
                CANCELLED,
                &[("\"kind\":\"sale_returned\"", "\"kind\":\"received\"")],
                "no event says that 1 of A are sale_returned for res-back",
            ),
        ],
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn an_order_event_that_is_out_of_place_is_noticed() {
    let (_dir, healthy) = traded_in().await;
    all_noticed(
        &healthy,
        &[
            (
                "a hole before it",
                UNKNOWN,
                &[("\"orderOffset\":1,", "\"orderOffset\":2,")],
                "it says offset 2, which should be 1",
            ),
            (
                "an offset that is given twice",
                UNKNOWN,
                &[("\"orderOffset\":1,", "\"orderOffset\":0,")],
                "it says offset 0, which should be 1",
            ),
            (
                "an event with another offset than its record",
                UNKNOWN,
                &[("{\"offset\":1,", "{\"offset\":2,")],
                "event 1 of orders is out of place",
            ),
            (
                "an event with another time than its record",
                UNKNOWN,
                &[(
                    "{\"offset\":1,\"timestamp\":\"2",
                    "{\"offset\":1,\"timestamp\":\"3",
                )],
                "event 1 of orders is out of place",
            ),
            (
                "an event about two orders",
                UNKNOWN,
                &[(
                    "\"payment_unknown\",\"orderId\":\"ord-slow\"",
                    "\"payment_unknown\",\"orderId\":\"ord-back\"",
                )],
                "event 1 of orders is out of place",
            ),
            (
                "an event without its order",
                UNKNOWN,
                &[("\"data\":{", "\"dota\":{")],
                "the line is not a record: missing field `data`",
            ),
            (
                "an event that says twice which version it is",
                UNKNOWN,
                &[("\"version\":2,\"cause\"", "\"version\":7,\"cause\"")],
                "it contradicts itself",
            ),
            (
                "an event that there is not",
                UNKNOWN,
                &[("\"payment_unknown\"", "\"payment_guessed\"")],
                "payment_guessed",
            ),
            (
                "a link to a wrong record",
                UNKNOWN,
                &[("{\"ord-slow\":9}", "{\"ord-slow\":8}")],
                "the record about ord-slow before it is 9, not 8",
            ),
            (
                "a link that is missing",
                UNKNOWN,
                &[("\"prevOrders\":{\"ord-slow\":9},", "")],
                "it does not name the record about ord-slow before it",
            ),
            (
                "a link too many",
                UNKNOWN,
                &[("{\"ord-slow\":9}", "{\"ord-back\":0,\"ord-slow\":9}")],
                "it names a record about ord-back, which it is not about",
            ),
        ],
    );
    noticed(
        &healthy,
        "a header that counts other events of orders than there are",
        |folder| {
            let place = UNKNOWN.place(folder);
            folder.frame(place).order_events = 2;
            frame(
                folder,
                place,
                "the frame holds 1 records, 0 events and 1 of orders",
            )
        },
    );
}
