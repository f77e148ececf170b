//! The feed over HTTP: every edge of every parameter, and what a follower may rely on.

pub(crate) mod continuity;
mod stream;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use central_api::journal::Stream;
use central_api::ledger::Ledger;
use serde_json::Value;
use shared::limits::EXACT_MAX;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::feeds::{self, offsets, texts};
use crate::harness::{eventually, fields};
use crate::served::{ADMIN, PATIENCE, Reply, Served, create, decide, movement, movements};

const FEED: &str = "/v1/inventory/events";

/// Three products in one decision, then sales: offsets 0 to 2, and one offset each from 3 on.
async fn stocked(dir: &TempDir, sales: usize) -> Served {
    let central = Served::start(dir).await;
    let ids = ["A", "B", "C"].map(str::to_owned);
    decide(&central.ledger, create(ids, 1_000_000)).await;
    for _ in 0..sales {
        decide(&central.ledger, movement("A", -1)).await;
    }
    central
}

async fn ask(central: &Served, query: &str) -> Reply {
    central.get(&format!("{FEED}?{query}")).await
}

#[track_caller]
fn sound(central: &Served, reply: &Reply, from: u64) -> Vec<u64> {
    feeds::sound(central, reply, from, Stream::Inventory)
}

#[tokio::test]
async fn every_value_of_offset_and_limit_is_taken_capped_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 1_200).await;
    let head = central.ledger.published().head().offset;
    assert_eq!(head, 1_203);
    // Offset, limit, events.
    for (query, from, count) in [
        ("offset=0", 0, 100),
        ("offset=3", 3, 100),
        ("offset=3&limit=1", 3, 1),
        ("offset=3&limit=999", 3, 999),
        ("offset=3&limit=1000", 3, 1_000),
        ("offset=3&limit=1001", 3, 1_000),
        ("offset=3&limit=99999", 3, 1_000),
        ("offset=3&limit=99999999999999999999999", 3, 1_000),
        ("offset=00003&limit=2", 3, 2),
        ("offset=%33&limit=2", 3, 2),
        ("offset=1202", 1_202, 1),
        ("offset=1203", 1_203, 0),
        ("offset=1203&wait=0", 1_203, 0),
        // An unknown parameter makes another URL and nothing else.
        ("offset=1203&busy=1", 1_203, 0),
    ] {
        let reply = ask(&central, query).await;
        assert_eq!(sound(&central, &reply, from).len(), count, "{query}");
    }
    for query in [
        "",
        "limit=5",
        "offset",
        "offset=",
        "offset=-1",
        "offset=1.0",
        "offset=1e2",
        "offset=%2B1",
        "offset=+1",
        "offset=1_000",
        "offset=0x1",
        "offset=abc",
        "offset=null",
        "offset=9007199254740992",
        "offset=18446744073709551615",
        "offset=18446744073709551616",
    ] {
        let problem = ask(&central, query).await.expect(400);
        assert_eq!(problem["code"], "EVENTS_ERROR", "{query}: {problem}");
        assert_eq!(problem["details"][0]["field"], "query.offset", "{problem}");
    }
    let problem = ask(&central, "offset=x&limit=0&wait=y&gen=z").await;
    let problem = problem.expect(400);
    let expected = ["query.offset", "query.limit", "query.wait", "query.gen"];
    assert_eq!(fields(&problem), expected, "{problem}");
    central.stop().await;
}

#[tokio::test]
async fn every_wrong_parameter_is_named_and_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 1).await;
    for (query, expected) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit", "limit"),
        ("limit=1.5", "limit"),
        ("limit=abc", "limit"),
        ("limit=-99999999999999999999", "limit"),
        ("wait=-1", "wait"),
        ("wait=", "wait"),
        ("wait=abc", "wait"),
        ("wait=0.5", "wait"),
        ("gen=", "gen"),
        ("gen=0", "gen"),
        ("gen=0123456789abcde", "gen"),
        ("gen=0123456789abcdef0", "gen"),
        ("gen=0123456789ABCDEF", "gen"),
        ("gen=0123456789abcdeg", "gen"),
        ("cursor=", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=9223372036854775807", "cursor"),
        ("offset=1", "offset"),
        ("limit=1&limit=1", "limit"),
        ("wait=0&wait=1", "wait"),
        ("cursor=1&cursor=2", "cursor"),
        ("limit=%zz", "limit"),
        ("limit=0&wait=x&gen=1&cursor=-5", "cursor gen limit wait"),
    ] {
        let query = format!("offset=0&{query}");
        let problem = ask(&central, &query).await.expect(400);
        assert_eq!(problem["code"], "invalid_request", "{query}");
        let named: BTreeSet<&str> = fields(&problem).into_iter().collect();
        let expected = expected.split(' ').map(|field| format!("query.{field}"));
        let expected: BTreeSet<String> = expected.collect();
        assert!(
            named.iter().copied().eq(expected.iter()),
            "{query}: {problem}"
        );
    }
    central.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waits_are_as_long_as_they_were_asked_for_and_never_longer_than_promised() {
    let begin = async |ledger: &Ledger| {
        decide(ledger, create(["A".to_owned()], 1)).await;
    };
    let cases = [
        ("offset=1", 0, 200),
        ("offset=1&wait=0", 0, 200),
        ("offset=1&wait=1", 1, 200),
        ("offset=1&wait=60", 60, 200),
        ("offset=1&wait=61", 60, 200),
        ("offset=1&wait=99999999999999999999", 60, 200),
        ("offset=0&wait=60", 0, 200),
        ("offset=2", 0, 409),
        ("offset=2&wait=3", 3, 409),
        ("offset=2&wait=60", 5, 409),
        ("offset=9007199254740991&wait=60", 5, 409),
    ];
    feeds::waits(FEED, begin, &cases).await;
}

/// A refusal that sends the reader to a snapshot.
#[track_caller]
fn lost(central: &Served, reply: &Reply, status: u16, code: &str) {
    let problem = reply.expect(status);
    assert_eq!(problem["code"], code, "{problem}");
    let published = central.ledger.published();
    assert_eq!(problem["gen"], published.log_gen().to_string());
    assert_eq!(problem["headOffset"], published.head().offset);
    assert_eq!(
        problem["oldestOffset"],
        published.journal.oldest().offsets.inventory
    );
    assert_eq!(problem["snapshotUrl"], "/v1/inventory/snapshot");
}

#[tokio::test]
async fn no_limit_splits_a_decision() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = ["A", "B", "C", "D", "E"].map(str::to_owned);
    let sizes = [5_usize, 1, 3, 1, 1, 2, 5, 4];
    decide(&central.ledger, create(ids.clone(), 1_000)).await;
    for size in sizes.iter().skip(1) {
        let lines = ids.iter().take(*size).map(|id| (id.as_str(), -1));
        decide(&central.ledger, movements(lines)).await;
    }
    let ends: BTreeSet<u64> = sizes
        .iter()
        .scan(0, |end, size| {
            *end += *size as u64;
            Some(*end)
        })
        .collect();
    let head = *ends.last().unwrap();
    let walk = async |central: &Served| {
        for limit in 1..=head + 1 {
            let mut at = 0;
            while at < head {
                let reply = ask(central, &format!("offset={at}&limit={limit}")).await;
                let found = sound(central, &reply, at);
                let next = at + found.len() as u64;
                assert!(
                    ends.contains(&next),
                    "limit {limit} from {at} ends at {next}"
                );
                // Soft, but never beyond the decision that reaches it.
                let due = ends.iter().find(|end| **end >= at + limit).unwrap_or(&head);
                assert_eq!(next, *due, "limit {limit} from {at}");
                at = next;
            }
        }
    };
    walk(&central).await;
    central.stop().await;
    // From the segments as from memory.
    let central = Served::start(&dir).await;
    walk(&central).await;
    central.stop().await;
}

#[tokio::test]
async fn what_is_read_from_old_segments_is_what_memory_had_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 400).await;
    for _ in 0..20 {
        decide(&central.ledger, movements([("A", -1), ("B", -1), ("C", 5)])).await;
    }
    let pages = async |central: &Served| {
        let mut pages = Vec::new();
        let mut at = 0;
        loop {
            let reply = ask(central, &format!("offset={at}&limit=37")).await;
            sound(central, &reply, at);
            if reply.json()["count"] == 0 {
                return pages;
            }
            at = reply.json()["nextOffset"].as_u64().unwrap();
            pages.push(texts(&reply));
        }
    };
    let from_memory = pages(&central).await;
    assert!(central.ledger.published().ring.chunks_from(0, 1).is_some());
    central.stop().await;
    let segments = fs::read_dir(dir.path().join("journal")).unwrap().count();
    assert!(segments > 2, "{segments} segments");
    let central = Served::start(&dir).await;
    assert!(central.ledger.published().ring.chunks_from(0, 1).is_none());
    assert!(pages(&central).await == from_memory);
    central.stop().await;
}

#[tokio::test]
async fn caches_may_keep_what_cannot_change_and_hardly_anything_else() {
    const FOR_EVER: &str = "public, max-age=31536000, immutable";
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 27).await;
    for (query, cache) in [
        ("offset=0&limit=10", FOR_EVER),
        ("offset=10&limit=10", FOR_EVER),
        ("offset=20&limit=10", FOR_EVER),
        ("offset=5&limit=5", FOR_EVER),
        // A decision that reaches over the limit makes it longer, not another.
        ("offset=0&limit=2", FOR_EVER),
        ("offset=7&limit=10", "public, max-age=60"),
        ("offset=20&limit=20", "public, max-age=60"),
        ("offset=0&limit=31", "public, max-age=60"),
        ("offset=0", "public, max-age=60"),
        ("offset=30", "public, max-age=1"),
    ] {
        let reply = ask(&central, query).await;
        reply.expect(200);
        assert_eq!(reply.header("cache-control"), cache, "{query}");
    }
    for (query, status) in [("", 400), ("offset=0&limit=0", 400)] {
        let reply = ask(&central, query).await;
        reply.expect(status);
        assert_eq!(reply.header("cache-control"), "no-store", "{query}");
    }
    // Whoever is lost asks again at once, and others like it do too: a proxy may answer them all.
    for (query, code) in [
        ("offset=0&gen=00000000000000aa", "log_diverged"),
        ("offset=99", "offset_ahead"),
    ] {
        let reply = ask(&central, query).await;
        assert_eq!(reply.expect(409)["code"], code, "{query}");
        assert_eq!(
            reply.header("cache-control"),
            "public, max-age=1",
            "{query}"
        );
    }
    let nobody = [("x-api-key", "nonsense")];
    let reply = central
        .get_with(&format!("{FEED}?offset=99"), &nobody)
        .await;
    reply.expect(401);
    assert_eq!(reply.header("cache-control"), "no-store");
    // Full answers stay what they were while the log grows: the events, that is.
    let before = texts(&ask(&central, "offset=20&limit=10").await);
    decide(&central.ledger, movement("B", -1)).await;
    assert_eq!(texts(&ask(&central, "offset=20&limit=10").await), before);
    central.stop().await;
}

#[tokio::test]
async fn an_empty_answer_gives_a_cursor_that_makes_the_next_url_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 0).await;
    let cursor = |reply: &Reply| reply.header("log-cursor").parse::<u64>().unwrap();
    let mut last = cursor(&ask(&central, "offset=3").await);
    for wait in [0, 0, 1] {
        let reply = ask(&central, &format!("offset=3&cursor={last}&wait={wait}")).await;
        assert!(sound(&central, &reply, 3).is_empty());
        assert!(cursor(&reply) > last);
        last = cursor(&reply);
    }
    // However far ahead somebody else's clock is.
    for sent in [
        0,
        1,
        last + 1_000_000,
        u64::try_from(EXACT_MAX - 1).unwrap(),
    ] {
        let reply = ask(&central, &format!("offset=3&cursor={sent}")).await;
        assert!(cursor(&reply) > sent);
    }
    central.stop().await;
}

#[tokio::test]
async fn everybody_who_waits_gets_the_next_event_and_all_of_its_decision() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 0).await;
    let before = central.ledger.published().watchers();
    let base = central.url(FEED);
    let client = &central.client;
    let poll = async |query: String| {
        let request = client
            .get(format!("{base}?{query}"))
            .header("x-api-key", ADMIN);
        let reply = request.send().await.unwrap();
        reply.json::<Value>().await.unwrap()
    };
    let polls = (0..20).map(|reader| poll(format!("offset=3&wait=60&cursor={reader}")));
    let all = futures_util::future::join_all(polls);
    let write = async {
        watched(&central, before, 20).await;
        decide(&central.ledger, movements([("A", -1), ("B", -2)])).await;
    };
    let (answers, ()) = timeout(PATIENCE, async { tokio::join!(all, write) })
        .await
        .expect("woken, not timed out");
    for answer in &answers {
        assert_eq!(offsets(answer), [3, 4]);
        assert_eq!(answer["events"], answers[0]["events"]);
        assert_eq!(answer["events"][0]["batch"]["size"], 2);
        assert_eq!(answer["upToDate"], true);
    }
    central.stop().await;
}

/// Waits until so many more than `before` watch the head.
async fn watched(central: &Served, before: usize, count: usize) {
    let enough = async || central.ledger.published().watchers() >= before + count;
    eventually("they wait for the head", enough).await;
}

#[tokio::test]
async fn a_stop_answers_those_who_wait_at_once_and_empty() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 0).await;
    let before = central.ledger.published().watchers();
    let parked = ask(&central, "offset=3&wait=60");
    let ahead = ask(&central, "offset=9&wait=60");
    let stop = async {
        watched(&central, before, 2).await;
        central.shutdown.cancel();
    };
    let begun = Instant::now();
    let (parked, ahead, ()) = tokio::join!(parked, ahead, stop);
    // Below the five seconds after which who is ahead is told in any case.
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(sound(&central, &parked, 3).is_empty());
    lost(&central, &ahead, 409, "offset_ahead");
    central.stop().await;
}
