//! The order feed: the protocol of the inventory's, with offsets of its own.

mod lost;
mod own;

use std::collections::BTreeSet;
use std::time::Duration;

use central_api::journal::Stream;
use central_api::ledger::Ledger;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::feeds::{self, STREAM, Streamed, texts};
use crate::harness::{eventually, fields};
use crate::served::{PATIENCE, READER, Reply, Served, decide, movement};
use crate::shop::{approved, place, placed, readdressed, stocked};

const FEED: &str = "/v1/orders/events";

/// Order events in decisions of these sizes, with stock that moves in between.
const SIZES: [u64; 11] = [1, 2, 1, 1, 1, 2, 1, 2, 1, 2, 2];

/// Offset after each of those decisions.
fn ends() -> Vec<u64> {
    let sum = |end: &mut u64, size: &u64| {
        *end += size;
        Some(*end)
    };
    SIZES.iter().scan(0, sum).collect()
}

async fn shop(dir: &TempDir) -> Served {
    let central = Served::start(dir).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A", "B"], 10_000).await;
    placed(ledger, place("1", "ada", None)).await;
    decide(ledger, movement("B", -1)).await;
    approved(ledger, "1").await;
    for name in ["2", "3", "4"] {
        placed(ledger, place(name, "bo", None)).await;
        decide(ledger, movement("B", -1)).await;
    }
    approved(ledger, "3").await;
    readdressed(ledger, "2", "1 Mill Lane").await;
    approved(ledger, "4").await;
    placed(ledger, place("5", "bo", None)).await;
    // None is left open, which the service would go on with after a restart.
    approved(ledger, "5").await;
    approved(ledger, "2").await;
    assert_eq!(ledger.published().head().orders, *ends().last().unwrap());
    central
}

async fn ask(central: &Served, query: &str) -> Reply {
    central.get(&format!("{FEED}?{query}")).await
}

/// A whole answer, sound and of orders. Returns how many events it has.
#[track_caller]
fn sound(central: &Served, reply: &Reply, from: u64) -> u64 {
    let found = feeds::sound(central, reply, from, Stream::Orders);
    for event in reply.json()["events"].as_array().unwrap() {
        assert_eq!(event["orderId"], event["data"]["orderId"]);
        assert_eq!(event["version"], event["data"]["version"]);
    }
    found.len() as u64
}

#[tokio::test]
async fn every_value_of_every_parameter_is_taken_capped_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    // Offset, limit, events: never a part of a decision.
    for (query, from, count) in [
        ("offset=0", 0, 16),
        ("offset=0&limit=1", 0, 1),
        ("offset=0&limit=2", 0, 3),
        ("offset=1&limit=1", 1, 2),
        ("offset=3&limit=1", 3, 1),
        ("offset=6&limit=1", 6, 2),
        ("offset=0&limit=99999", 0, 16),
        ("offset=00003&limit=2", 3, 2),
        ("offset=15", 15, 1),
        ("offset=16", 16, 0),
        ("offset=16&wait=0&busy=1", 16, 0),
    ] {
        let reply = ask(&central, query).await;
        assert_eq!(sound(&central, &reply, from), count, "{query}");
    }
    for query in [
        "",
        "limit=5",
        "offset=",
        "offset=-1",
        "offset=1.0",
        "offset=x",
    ] {
        let problem = ask(&central, query).await.expect(400);
        assert_eq!(problem["code"], "EVENTS_ERROR", "{query}: {problem}");
        assert_eq!(fields(&problem), ["query.offset"], "{problem}");
    }
    for (query, expected) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("wait=-1", "wait"),
        ("gen=0", "gen"),
        ("gen=0123456789ABCDEF", "gen"),
        ("cursor=-1", "cursor"),
        ("limit=1&limit=1", "limit"),
        ("limit=0&wait=x&gen=1&cursor=-5", "cursor gen limit wait"),
    ] {
        let problem = ask(&central, &format!("offset=0&{query}"))
            .await
            .expect(400);
        let named: BTreeSet<&str> = fields(&problem).into_iter().collect();
        let expected = expected.split(' ').map(|field| format!("query.{field}"));
        let expected: BTreeSet<String> = expected.collect();
        assert!(
            named.iter().copied().eq(expected.iter()),
            "{query}: {problem}"
        );
    }
    let reader = [("x-api-key", READER)];
    central
        .get_with(&format!("{FEED}?offset=0"), &reader)
        .await
        .expect(200);
    central.stop().await;
}

#[tokio::test]
async fn no_limit_splits_a_decision_and_old_segments_have_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let ends = ends();
    let head = *ends.last().unwrap();
    let walk = async |central: &Served| {
        let mut pages = Vec::new();
        for limit in 1..=head + 1 {
            let mut at = 0;
            while at < head {
                let reply = ask(central, &format!("offset={at}&limit={limit}")).await;
                let next = at + sound(central, &reply, at);
                let due = ends.iter().find(|end| **end >= at + limit).unwrap_or(&head);
                assert_eq!(next, *due, "limit {limit} from {at}");
                pages.push(texts(&reply));
                at = next;
            }
        }
        pages
    };
    let from_memory = walk(&central).await;
    assert!(
        central
            .ledger
            .published()
            .order_ring
            .chunks_from(0, 1)
            .is_some()
    );
    central.stop().await;
    let central = Served::start(&dir).await;
    assert!(
        central
            .ledger
            .published()
            .order_ring
            .chunks_from(0, 1)
            .is_none()
    );
    assert!(walk(&central).await == from_memory, "byte for byte");
    central.stop().await;
}

/// Both feeds are asked for the same offsets and limits: neither gives the other's answer.
#[tokio::test]
async fn the_two_feeds_are_not_mistaken_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let packed = [("accept-encoding", "gzip")];
    for query in [
        "offset=0&limit=5",
        "offset=3&limit=5",
        "offset=0&limit=1000",
    ] {
        for headers in [&[][..], &packed[..]] {
            let mut seen = Vec::new();
            for feed in ["/v1/inventory/events", FEED, "/v1/inventory/events", FEED] {
                let reply = central.get_with(&format!("{feed}?{query}"), headers).await;
                assert_eq!(reply.status, 200);
                seen.push(reply.bytes);
            }
            assert_eq!(seen[0], seen[2]);
            assert_eq!(seen[1], seen[3]);
            assert_ne!(seen[0], seen[1]);
        }
    }
    central.stop().await;
}

#[tokio::test]
async fn a_reader_that_has_not_followed_this_log_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let first = central.ledger.published().log_gen().to_string();
    let head = central.ledger.published().head().orders;
    central.stop().await;
    let central = Served::start(&dir).await;
    let now = central.ledger.published().log_gen().to_string();
    placed(&central.ledger, place("6", "ada", None)).await;
    let at = |offset: u64, log_gen: &str| format!("offset={offset}&gen={log_gen}");
    // The life that ended, up to where the next one began; and the present one.
    for query in [
        at(0, &first),
        at(head, &first),
        at(head, &now),
        at(head + 1, &now),
    ] {
        ask(&central, &query).await.expect(200);
    }
    // The inventory is further on: what counts are the orders' offsets.
    for _ in 0..=head + 1 {
        decide(&central.ledger, movement("A", 1)).await;
    }
    assert!(central.ledger.published().head().offset > head + 1);
    for (query, code) in [
        (at(head + 1, &first), "log_diverged"),
        (at(0, "00000000000000aa"), "log_diverged"),
        (at(head + 2, &now), "offset_ahead"),
        (format!("offset={}", head + 2), "offset_ahead"),
    ] {
        let reply = ask(&central, &query).await;
        let problem = reply.expect(409);
        assert_eq!(problem["code"], code, "{query}: {problem}");
        assert_eq!(problem["gen"], now);
        assert_eq!(problem["headOffset"], head + 1);
        assert_eq!(problem["oldestOffset"], 0);
        assert_eq!(problem["snapshotUrl"], "/v1/orders");
        assert_eq!(reply.header("cache-control"), "public, max-age=1");
    }
    central.stop().await;
}

#[tokio::test]
async fn caches_may_keep_what_cannot_change_and_hardly_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    for (query, cache) in [
        ("offset=0&limit=6", "public, max-age=31536000, immutable"),
        ("offset=0&limit=2", "public, max-age=31536000, immutable"),
        ("offset=6&limit=100", "public, max-age=60"),
        ("offset=16", "public, max-age=1"),
    ] {
        let reply = ask(&central, query).await;
        reply.expect(200);
        assert_eq!(reply.header("cache-control"), cache, "{query}");
    }
    central.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waits_are_as_long_as_they_were_asked_for_and_never_longer_than_promised() {
    let begin = async |ledger: &Ledger| {
        stocked(ledger, &["A"], 10).await;
        placed(ledger, place("1", "ada", None)).await;
    };
    let cases = [
        ("offset=1", 0, 200),
        ("offset=1&wait=1", 1, 200),
        ("offset=1&wait=61", 60, 200),
        ("offset=0&wait=60", 0, 200),
        ("offset=2", 0, 409),
        ("offset=2&wait=3", 3, 409),
        ("offset=2&wait=60", 5, 409),
    ];
    feeds::waits(FEED, begin, &cases).await;
}

#[tokio::test]
async fn whoever_waits_is_woken_by_its_own_feed_only_and_gets_the_whole_decision() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A", "B"], 10).await;
    placed(ledger, place("1", "ada", None)).await;
    let before = ledger.published().watchers();
    let parked = async || central.ledger.published().watchers() == before + 2;
    let orders = ask(&central, "offset=1&wait=60");
    let stock = central.get("/v1/inventory/events?offset=3&wait=60");
    let write = async {
        eventually("both wait for the head", parked).await;
        // An order event without one of a product, then one of a product without an order's.
        readdressed(ledger, "1", "1 Mill Lane").await;
    };
    let (orders, more, stock) = timeout(PATIENCE, async {
        let then = async {
            let (orders, ()) = tokio::join!(orders, write);
            let again = ask(&central, "offset=2&wait=60");
            let write = async {
                eventually("both wait for the head", parked).await;
                decide(ledger, movement("B", -1)).await;
                let one = async || central.ledger.published().watchers() == before + 1;
                eventually("only the orders' reader still waits", one).await;
                approved(ledger, "1").await;
            };
            let (again, ()) = tokio::join!(again, write);
            (orders, again)
        };
        let ((orders, again), stock) = tokio::join!(then, stock);
        (orders, again, stock)
    })
    .await
    .expect("woken, not timed out");
    let kinds = |reply: &Reply| {
        let answer = reply.expect(200);
        let events = answer["events"].as_array().unwrap().clone();
        let kind = |event: &Value| event["eventType"].as_str().unwrap().to_owned();
        events.iter().map(kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&orders), ["address_changed"]);
    assert_eq!(kinds(&more), ["order_paid", "order_confirmed"]);
    let stock = stock.expect(200);
    assert_eq!(stock["events"][0]["productId"], "B");
    central.stop().await;
}

#[tokio::test]
async fn a_stream_has_the_same_events_and_goes_on_after_the_last_one_seen() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let page = ask(&central, "offset=0").await;
    for (last, first) in [(None, 0), (Some("4"), 5)] {
        let seen = last.map(|last| ("last-event-id", last));
        let headers: Vec<_> = [STREAM].into_iter().chain(seen).collect();
        let mut stream = Streamed::open(&central, FEED, "offset=0", &headers).await;
        let mut data = Vec::new();
        for id in first..16 {
            let (found, event) = stream.next().await.unwrap();
            assert_eq!(found, id);
            data.push(event);
        }
        assert!(texts(&page).ends_with(&data.join(",")), "the same bytes");
    }
    central.stop().await;
}

#[tokio::test]
async fn a_stop_answers_those_who_wait_at_once_and_empty() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let before = central.ledger.published().watchers();
    let parked = ask(&central, "offset=16&wait=60");
    let stop = async {
        let waits = async || central.ledger.published().watchers() > before;
        eventually("it waits for the head", waits).await;
        central.shutdown.cancel();
    };
    let answered = timeout(Duration::from_secs(20), async {
        tokio::join!(parked, stop)
    });
    let (reply, ()) = answered.await.expect("at once");
    assert_eq!(sound(&central, &reply, 16), 0);
    central.stop().await;
}
