//! Holds that run out: nobody has to ask for it, and whoever asks is told the truth before it is
//! written down.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock, Timestamp};
use tempfile::TempDir;

use super::{figures, hold, lines_of, post, state};
use crate::served::{Served, create, decide};

/// The default time of a hold, in milliseconds.
const TTL: i64 = 900_000;

/// A clock that is moved by hand.
fn clock() -> Arc<ManualClock> {
    let begun = Timestamp::from_millis(1_768_473_000_123);
    Arc::new(ManualClock::at(begun))
}

/// A central by `clock`, with ten units each of `A` and `B` if it is new.
async fn start(dir: &TempDir, clock: &Arc<ManualClock>) -> Served {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let central = Served::start_by(dir, clock, |_| {}).await;
    if central.ledger.published().head().offset == 0 {
        let ids = ["A", "B"].map(str::to_owned);
        decide(&central.ledger, create(ids, 10)).await;
    }
    central
}

/// Waits on the feed for the events from `offset` on, and returns them.
async fn events_from(central: &Served, offset: u64) -> Vec<Value> {
    let path = format!("/v1/inventory/events?offset={offset}&wait=20");
    let answer = central.get(&path).await.expect(200);
    answer["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_runs_out_together_ends_together_though_nobody_asks() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let central = start(&dir, &clock).await;
    hold(&central, "one", &[("A", 2)]).await;
    hold(&central, "two", &[("A", 3), ("B", 1)]).await;
    let head = central.ledger.published().head().offset;
    // The poll waits before the hands move. Nothing tells the writer that they have.
    let (events, ()) = tokio::join!(events_from(&central, head), async {
        clock.advance_millis(TTL);
    });
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let cause = &event["cause"];
            assert_eq!(cause["kind"], "expired");
            assert_eq!(event["batch"]["size"], 3);
            (
                event["productId"].as_str().unwrap(),
                cause["reservationId"].as_str().unwrap(),
                cause["quantity"].as_i64().unwrap(),
                event["data"]["available"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("A", "one", 2, 7), ("A", "two", 3, 10), ("B", "two", 1, 10)]
    );
    let page = central.get("/v1/inventory/A/history?kind=expired").await;
    assert_eq!(page.expect(200)["entries"].as_array().unwrap().len(), 2);
    central.stop().await;
}

/// With the machine's own clock, and nothing that moves it or nudges anybody.
#[tokio::test]
async fn a_hold_of_a_second_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 10)).await;
    let body = json!({"quantity": 4, "ttlSeconds": 1, "reservationId": "brief"});
    post(&central, "/v1/inventory/A/reserve", "k", &body)
        .await
        .expect(201);
    assert_eq!(state(&central, "brief").await, "active");
    let head = central.ledger.published().head().offset;
    let events = events_from(&central, head).await;
    assert_eq!(events[0]["cause"]["kind"], "expired");
    let brief = central.get("/v1/reservations/brief").await.expect(200);
    assert!(brief["resolvedAt"].as_str() >= brief["expiresAt"].as_str());
    central.stop().await;
}

#[tokio::test]
async fn time_is_judged_when_somebody_asks() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let central = start(&dir, &clock).await;
    hold(&central, "one", &[("A", 10)]).await;
    clock.advance_millis(TTL - 1);
    assert_eq!(state(&central, "one").await, "active");
    clock.advance_millis(1);
    // The timer may not have come yet; the answers do not depend on it.
    assert_eq!(state(&central, "one").await, "expired");
    let list = central
        .get("/v1/reservations?productId=A&state=active")
        .await;
    assert_eq!(list.expect(200)["reservations"], json!([]));
    let list = central
        .get("/v1/reservations?state=expired")
        .await
        .expect(200);
    assert_eq!(list["reservations"][0]["reservationId"], "one");
    assert_eq!(list["reservations"][0]["state"], "expired");

    let path = "/v1/reservations/one/commit";
    let late = post(&central, path, "late", &json!({})).await.expect(409);
    assert_eq!(late["code"], "reservation_expired");
    let path = "/v1/reservations/one/extend";
    let late = post(&central, path, "x", &json!({"ttlSeconds": 9}))
        .await
        .expect(409);
    assert_eq!(late["code"], "reservation_expired");
    // Whoever gives it back wanted it free, and it is.
    let path = "/v1/reservations/one/release";
    let freed = post(&central, path, "free", &json!({})).await.expect(200);
    assert_eq!(freed["state"], "expired");
    assert_eq!(figures(&central, "A").await, (10, 0, 10));
    central.stop().await;
}

#[tokio::test]
async fn what_has_run_out_is_taken_all_the_same_where_it_is_still_free() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let central = start(&dir, &clock).await;
    hold(&central, "late", &[("A", 6), ("B", 6)]).await;
    clock.advance_millis(TTL);
    hold(&central, "quick", &[("A", 5), ("B", 5)]).await;
    let path = "/v1/reservations/late/commit";
    let body = json!({"reacquire": true});
    let refused = post(&central, path, "1", &body).await.expect(409);
    assert_eq!(refused["code"], "insufficient_inventory");
    assert_eq!(refused["lines"].as_array().unwrap().len(), 2);
    assert_eq!(refused["reservationId"], "late");
    post(&central, "/v1/reservations/quick/release", "2", &json!({}))
        .await
        .expect(200);
    let released = post(&central, "/v1/reservations/late/release", "3", &json!({})).await;
    assert_eq!(released.expect(200)["state"], "expired");
    let taken = post(&central, path, "4", &body).await.expect(200);
    assert_eq!(taken["state"], "committed");
    assert_eq!(figures(&central, "A").await, (4, 0, 4));
    // The repeat of what was said in between says what it said then.
    let again = post(&central, "/v1/reservations/late/release", "3", &json!({})).await;
    assert_eq!(again.expect(200)["state"], "expired");
    central.stop().await;
}

#[tokio::test]
async fn a_restart_between_the_hold_and_its_end_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let central = start(&dir, &clock).await;
    let body = json!({"owner": "ann", "reservationId": "short", "ttlSeconds": 60, "lines": lines_of(&[("A", 4)])});
    let made = post(&central, "/v1/reservations", "k", &body)
        .await
        .expect(201);
    hold(&central, "long", &[("B", 4)]).await;
    let head = central.ledger.published().head().offset;
    central.ledger.published().take_snapshot().unwrap();
    central.stop().await;

    clock.advance_millis(60_000);
    let central = start(&dir, &clock).await;
    let events = events_from(&central, head).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["cause"]["kind"], "expired");
    assert_eq!(events[0]["cause"]["reservationId"], "short");
    assert_eq!(state(&central, "long").await, "active");
    let again = post(&central, "/v1/reservations", "k", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.expect(201), made);
    let list = central.get("/v1/reservations").await.expect(200);
    assert_eq!(list["reservations"].as_array().unwrap().len(), 2);
    central.stop().await;
}
