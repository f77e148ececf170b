//! What happened to an order: as pages, and as it happens.

use std::sync::Arc;

use central_api::ledger::KeyRetention;
use central_api::verify::verify;
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::{ManualClock, Timestamp};
use shared::disk::FsDisk;
use shared::domain::order::Transition;
use tokio::time::timeout;

use crate::harness::{eventually, fields, header};
use crate::served::{ADMIN, PATIENCE, SHOP, Served};
use crate::shop::{
    approved, declined, moved, place, placed, readdressed, refunded, stocked, unknown,
};

const PATH: &str = "/v1/orders/ord-1/events";

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["eventType"].as_str().unwrap())
        .collect()
}

async fn shop(dir: &tempfile::TempDir) -> Served {
    let central = Served::start(dir).await;
    stocked(&central.ledger, &["A"], 1_000).await;
    central
}

/// The whole history, in pages of `limit`.
async fn paged(central: &Served, limit: usize) -> Vec<Value> {
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let path = format!("{PATH}?after={after}&limit={limit}");
        let page = central.get(&path).await.expect(200);
        paged.extend(page["events"].as_array().unwrap().clone());
        match page["nextAfter"].as_u64() {
            Some(next) => after = next,
            None => return paged,
        }
    }
}

#[tokio::test]
async fn every_step_attempt_outcome_and_compensation_is_told_as_the_feed_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_768_473_000_000)));
    let by = Arc::<ManualClock>::clone(&clock);
    let central = Served::start_by(&dir, by, |_| {}).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A"], 1_000).await;
    placed(ledger, place("1", "ada", None)).await;
    placed(ledger, place("2", "bo", None)).await;
    unknown(ledger, "1").await;
    // A second time soon after would be no news.
    clock.advance_millis(60_000);
    unknown(ledger, "1").await;
    declined(ledger, "2").await;
    approved(ledger, "1").await;
    moved(ledger, "1", Transition::Cancel).await;
    // Its money is on its way back.
    let history = central.get(PATH).await.expect(200);
    assert_eq!(history["isOver"], false);
    refunded(ledger, "1").await;
    let expected = [
        "order_reserved",
        "payment_unknown",
        "payment_unknown",
        "order_paid",
        "order_confirmed",
        "order_cancelled",
    ];
    let check = async |central: &Served| {
        let history = central.get(PATH).await.expect(200);
        let events = history["events"].as_array().unwrap();
        assert_eq!(kinds(events)[..6], expected, "{history}");
        let versions: Vec<u64> = events
            .iter()
            .map(|event| event["version"].as_u64().unwrap())
            .collect();
        assert!(versions.iter().copied().eq(1..=events.len() as u64));
        assert_eq!(events[2]["cause"]["attempt"], 2);
        assert_eq!(kinds(events).last(), Some(&"refunded"));
        assert_eq!(history["isOver"], true);
        let feed = central.get("/v1/orders/events?offset=0&limit=1000").await;
        let feed = feed.expect(200);
        let own = feed["events"].as_array().unwrap().iter();
        let own = own.filter(|event| event["orderId"] == "ord-1");
        assert!(own.eq(events.iter()), "the feed's events");
        // Page by page it is the same.
        for limit in 1..=events.len() + 1 {
            assert_eq!(paged(central, limit).await, *events, "limit {limit}");
        }
        let none = central.get(&format!("{PATH}?after=99")).await.expect(200);
        assert_eq!(none["events"], Value::Array(Vec::new()));
    };
    check(&central).await;
    let other = central.get("/v1/orders/ord-2/events").await.expect(200);
    let events = other["events"].as_array().unwrap();
    assert_eq!(kinds(events), ["order_reserved", "payment_declined"]);
    assert_eq!(events[1]["data"]["failure"]["code"], "card_declined");
    assert_eq!(other["isOver"], true);
    central.stop().await;
    // The log has it, whatever memory forgets.
    let central = Served::start(&dir).await;
    check(&central).await;

    let problem = central
        .get(&format!("{PATH}?after=-1&limit=0&x=1"))
        .await
        .expect(400);
    let mut named = fields(&problem);
    named.sort_unstable();
    assert_eq!(named, ["query.after", "query.limit", "query.x"]);
    let problem = central.get("/v1/orders/ord-9/events").await.expect(404);
    assert_eq!(problem["code"], "order_not_found");
    central.stop().await;
}

/// What the attempts of the test below left behind.
async fn refusals_are_told(central: &Served) {
    let history = central.get(PATH).await.expect(200);
    let events = history["events"].as_array().unwrap();
    let told: Vec<(&str, u64)> = events
        .iter()
        .map(|event| match event["code"].as_str() {
            Some(code) => (code, event["version"].as_u64().unwrap()),
            None => (event["eventType"].as_str().unwrap(), 0),
        })
        .collect();
    let expected = [
        ("order_reserved", 0),
        ("illegal_transition", 1),
        ("order_paid", 0),
        ("order_confirmed", 0),
        ("version_conflict", 3),
        ("version_conflict", 3),
        ("order_settled", 3),
        ("order_completed", 0),
        ("illegal_transition", 4),
        ("not_refundable", 4),
    ];
    assert_eq!(told, expected);
    let early = &events[1];
    assert_eq!(early["eventType"], "refused");
    assert_eq!(early["orderId"], "ord-1");
    assert_eq!(early["cause"]["kind"], "confirm");
    assert_eq!(early["cause"]["actor"], "store-s1");
    assert_eq!(early["cause"]["idempotencyKey"], "early");
    assert!(events[4]["cause"].get("idempotencyKey").is_none());
    for limit in 1..=5 {
        assert_eq!(paged(central, limit).await, *events, "limit {limit}");
    }
    // Whoever has seen the last event is told what was refused since.
    let since = central.get(&format!("{PATH}?after=4")).await.expect(200);
    assert_eq!(since["events"], json!(events[8..]));
    assert_eq!(history["isOver"], true);
    // Nothing happened, so the feed has none of it.
    let feed = central.get("/v1/orders/events?offset=0").await.expect(200);
    assert_eq!(feed["count"], 4);
    let mut page = Follower::open(central, "", None).await;
    page.hears("order_reserved", 1).await;
    page.hears("order_paid", 2).await;
    page.hears("order_confirmed", 3).await;
    page.hears("order_completed", 4).await;
    page.ends("completed").await;
}

/// Who asks for what cannot be is in the order's past, between the events, on every page once.
#[tokio::test]
async fn what_was_refused_stands_between_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let ledger = &central.ledger;
    placed(ledger, place("1", "ada", Some("store-s1"))).await;
    let ask = async |method: Method, call: &str, headers: &[(&str, &str)], body: Value| {
        let path = format!("/v1/orders/ord-1{call}");
        central.send(method, &path, headers, Some(&body)).await
    };
    let key = |key: &'static str| [("x-api-key", SHOP), ("idempotency-key", key)];
    let early = ask(Method::POST, "/confirm", &key("early"), json!({})).await;
    assert_eq!(early.expect(409)["code"], "illegal_transition");
    // A repeat is told the same, and is no second attempt.
    let again = ask(Method::POST, "/confirm", &key("early"), json!({})).await;
    assert_eq!(again.expect(409)["message"], early.json()["message"]);
    assert_eq!(again.header("idempotent-replayed"), "true");
    approved(ledger, "1").await;
    let stale = json!({"version": 1});
    let stale = ask(Method::POST, "/complete", &key("stale"), stale).await;
    assert_eq!(stale.expect(409)["code"], "version_conflict");
    let unmatched = [("x-api-key", SHOP), ("if-match", "\"2\"")];
    let unmatched = ask(Method::POST, "/complete", &unmatched, json!({})).await;
    assert_eq!(unmatched.expect(412)["code"], "precondition_failed");
    let address = json!({"shippingAddress": "1 Mill Lane"});
    let settled = ask(Method::PUT, "", &key("address"), address).await;
    assert_eq!(settled.expect(409)["code"], "order_settled");
    // Its key is free: the same command with the version that there is.
    let rebased = ask(
        Method::POST,
        "/complete",
        &key("stale"),
        json!({"version": 3}),
    )
    .await;
    assert_eq!(rebased.expect(200)["status"], "completed");
    let late = ask(Method::POST, "/cancel", &key("late"), json!({})).await;
    assert_eq!(late.expect(409)["allowed"], json!([]));
    let much = json!({"amount": 99});
    let much = central.post(
        "/v1/payments/pay-1/refund",
        &[("idempotency-key", "much")],
        &much,
    );
    assert_eq!(much.await.expect(409)["code"], "not_refundable");

    refusals_are_told(&central).await;
    // Also from a snapshot and the log after it.
    let published = Arc::clone(central.ledger.published());
    let taken = tokio::task::spawn_blocking(move || published.take_snapshot());
    taken.await.unwrap().unwrap();
    central.stop().await;
    let found = verify(&FsDisk, dir.path(), KeyRetention::default()).unwrap();
    assert_eq!(found.findings, []);
    let central = Served::start(&dir).await;
    refusals_are_told(&central).await;
    central.stop().await;
}

/// A page that follows one order.
struct Follower {
    answer: reqwest::Response,
    rest: String,
}

impl Follower {
    async fn open(central: &Served, query: &str, last: Option<u64>) -> Self {
        let request = central.client.get(central.url(&format!("{PATH}{query}")));
        let mut request = request.header("x-api-key", ADMIN);
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), Some("text/event-stream"));
        Self {
            answer,
            rest: String::new(),
        }
    }

    /// Name, id and data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Option<u64>, Value)> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                let name = value("event: ").unwrap_or("message").to_owned();
                let id = value("id: ").map(|id| id.parse().unwrap());
                let data = value("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.rest = rest.to_owned();
                match data {
                    Some(data) => return Some((name, id, data)),
                    None => continue,
                }
            }
            let part = timeout(PATIENCE, self.answer.chunk()).await.unwrap();
            self.rest
                .push_str(std::str::from_utf8(&part.unwrap()?).unwrap());
        }
    }

    async fn hears(&mut self, kind: &str, version: u64) {
        let (name, id, data) = self.next().await.expect("the stream goes on");
        assert_eq!((name.as_str(), id), ("message", Some(version)), "{data}");
        assert_eq!(
            (&data["eventType"], &data["version"]),
            (&kind.into(), &version.into())
        );
    }

    async fn ends(&mut self, status: &str) {
        let (name, _, data) = self.next().await.expect("a last word");
        assert_eq!((name.as_str(), &data["status"]), ("end", &status.into()));
        assert_eq!(data["orderId"], "ord-1");
        assert_eq!(self.next().await, None);
    }
}

#[tokio::test]
async fn a_page_hears_the_past_and_then_each_event_until_the_order_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let ledger = &central.ledger;
    placed(ledger, place("1", "ada", None)).await;
    unknown(ledger, "1").await;
    let before = central.ledger.published().watchers();
    let mut early = Follower::open(&central, "", None).await;
    early.hears("order_reserved", 1).await;
    early.hears("payment_unknown", 2).await;
    // It has read all there is and waits.
    let waits = async || central.ledger.published().watchers() > before;
    eventually("it waits for the head", waits).await;
    // What happens to others is not its business.
    placed(ledger, place("2", "bo", None)).await;
    approved(ledger, "1").await;
    early.hears("order_paid", 3).await;
    early.hears("order_confirmed", 4).await;
    let mut late = Follower::open(&central, "", Some(3)).await;
    let mut after = Follower::open(&central, "?after=2", None).await;
    late.hears("order_confirmed", 4).await;
    after.hears("order_paid", 3).await;
    after.hears("order_confirmed", 4).await;
    moved(ledger, "1", Transition::Complete).await;
    for page in [&mut early, &mut late, &mut after] {
        page.hears("order_completed", 5).await;
        page.ends("completed").await;
    }
    // Whoever comes when it is over is told so.
    let mut last = Follower::open(&central, "", Some(5)).await;
    last.ends("completed").await;
    central.stop().await;
}

/// Pages that come at any moment, while the order goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_at_any_moment_misses_nothing() {
    const CHANGES: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let ledger = &central.ledger;
    placed(ledger, place("1", "ada", None)).await;
    let changes = async {
        for number in 0..CHANGES {
            readdressed(ledger, "1", &format!("{number} Mill Lane")).await;
        }
        moved(ledger, "1", Transition::Cancel).await;
    };
    let pages = (0..8).map(async |_| {
        let mut page = Follower::open(&central, "", None).await;
        let mut seen = Vec::new();
        while seen.last() != Some(&(CHANGES + 2)) {
            let (_, id, _) = page.next().await.expect("the stream goes on");
            seen.extend(id);
        }
        assert!(seen.iter().copied().eq(1..=CHANGES + 2), "{seen:?}");
    });
    tokio::join!(changes, futures_util::future::join_all(pages));
    central.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    placed(&central.ledger, place("1", "ada", None)).await;
    let mut page = Follower::open(&central, "", None).await;
    page.hears("order_reserved", 1).await;
    central.shutdown.cancel();
    assert_eq!(page.next().await, None);
    central.stop().await;
}
