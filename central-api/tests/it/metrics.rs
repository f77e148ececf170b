//! What central tells Prometheus: names that dashboards depend on, and figures that are right.
//!
//! Longer than most files, because the list of every name, label and help is in it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use central_api::http::document;
use reqwest::Method;
use serde_json::{Value, json};
use shared::testing::PATIENCE;
use shared::testing::exposition::Exposition;
use tokio::time::Instant;

use crate::harness::{TestCentral, eventually, header};

const DOCS: &str = include_str!("../../../docs/metrics.md");

async fn scrape(central: &TestCentral) -> Exposition {
    let url = format!("{}/metrics", central.metrics_url);
    let answer = central.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = header(&answer, "content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::parse(&answer.text().await.unwrap()).unwrap()
}

/// Waits until a series has this value: what is decided is counted a moment after it is answered.
async fn reaches(central: &TestCentral, name: &str, labels: &[(&str, &str)], value: f64) {
    eventually(&format!("{name} {labels:?} is {value}"), async || {
        scrape(central).await.value(name, labels) == Some(value)
    })
    .await;
}

async fn order(central: &TestCentral, key: &str, method: &str) -> Value {
    let items = json!([{"productId": "A", "quantity": 1}]);
    let body = json!({"customerId": "ann", "items": items, "paymentMethod": method});
    let request = central.admin(Method::POST, "/v1/orders");
    let request = request.header("idempotency-key", key).json(&body);
    request.send().await.unwrap().json().await.unwrap()
}

async fn report(central: &TestCentral, store: &str, offset: u64, digest: &str) {
    let path = format!("/v1/stores/{store}/heartbeat");
    let body = json!({
        "appliedOffset": offset, "gen": "00000000000000ab", "digest": digest,
        "breaker": "closed", "startedAt": "2026-01-15T10:30:00.000Z", "version": "0.1.0",
    });
    let sent = central.admin_json(Method::PUT, &path, &body).await;
    assert_eq!(sent.status(), 200);
}

/// A central that has been stopped once and then done a little of everything.
async fn at_work() -> TestCentral {
    let central = TestCentral::start().await;
    central.create("A", 10).await;
    // Stopping takes a snapshot, whose age there is to tell then.
    let central = central.restart().await;
    assert_eq!(central.update("A", -1, "k").await.status(), 200);
    order(&central, "o", "card").await;
    report(&central, "store-s1", 0, "00000000000000ab").await;
    central
}

#[tokio::test(flavor = "multi_thread")]
async fn names_types_labels_and_help_are_as_published() {
    let central = at_work().await;
    let seen = scrape(&central).await;
    insta::assert_snapshot!("metrics", seen.shape());
    // The page says the same, neither more nor less.
    let (ours, _) = DOCS.split_once("\n## Store\n").unwrap();
    let documented: BTreeSet<String> = ours
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", name, kind, labels, _, ""] = cells.as_slice() else {
                return None;
            };
            let name = name.strip_prefix('`')?.strip_suffix('`')?;
            let mut labels: Vec<_> = labels.split(", ").collect();
            labels.sort_unstable();
            Some(format!("{kind} {name}{{{}}}", labels.join(",")))
        })
        .collect();
    assert_eq!(documented.len(), seen.names().count());
    let shape = seen.shape();
    let served = shape.lines().map(|line| line.split_once(": ").unwrap().0);
    assert_eq!(documented, served.map(str::to_owned).collect());
}

/// Two scrapes, and what was done in between.
struct Work {
    before: Exposition,
    after: Exposition,
    /// Events in the feed in the end.
    head: f64,
}

impl Work {
    fn grown(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let value = |seen: &Exposition| seen.value(name, labels).unwrap_or(0.0);
        value(&self.after) - value(&self.before)
    }

    #[track_caller]
    fn now(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let value = self.after.value(name, labels);
        value.unwrap_or_else(|| panic!("{name} {labels:?} is not served"))
    }
}

const fn decided<'a>(outcome: &'a str, reason: &'a str) -> [(&'a str, &'a str); 2] {
    [("outcome", outcome), ("reason", reason)]
}

/// Sales, refusals, a repeat, an order that fails, a hold that runs out, a store that has drifted.
async fn known_work() -> Work {
    let central = at_work().await;
    // The sale, and the order: placed, paid for, and with that confirmed.
    let applied = decided("applied", "none");
    reaches(&central, "holdfast_decisions_total", &applied, 3.0).await;
    let before = scrape(&central).await;
    for (key, delta, status) in [
        ("s1", -2, 200),
        ("s2", -1, 200),
        ("s3", -99, 409),
        ("s1", -2, 200),
        ("s1", -7, 422),
    ] {
        let sale = central.update("A", delta, key).await;
        assert_eq!(sale.status(), status, "{key}");
    }
    let failed = order(&central, "declined", "card_declined").await;
    assert_eq!(failed["order"]["status"], "failed", "{failed}");
    let lines = json!([{"productId": "A", "quantity": 1}]);
    let hold = json!({"owner": "ann", "lines": lines, "ttlSeconds": 1});
    let held = central.admin(Method::POST, "/v1/reservations");
    let held = held.header("idempotency-key", "hold").json(&hold);
    assert_eq!(held.send().await.unwrap().status(), 201);
    let expired = [("state", "expired")];
    let resolved = "holdfast_reservations_resolved_total";
    reaches(&central, resolved, &expired, 1.0).await;
    let feed = central.get("/v1/inventory/events?offset=0").await;
    assert_eq!(feed.status(), 200);
    assert_eq!(central.get("/nowhere").await.status(), 404);
    let head = central.head().await;
    report(&central, "store-s2", head, "ffffffffffffffff").await;
    // Every record is in some frame; the last to be counted is that of the hold's end.
    let uncounted = |seen: &Exposition| {
        let figure = |name: &str| seen.value(name, &[]).unwrap();
        figure("holdfast_journal_head_seq") - figure("holdfast_frame_records_sum")
    };
    eventually("every record is counted", async || {
        uncounted(&scrape(&central).await) == uncounted(&before)
    })
    .await;
    Work {
        before,
        after: scrape(&central).await,
        head: head as f64,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_right_after_known_work() {
    let work = known_work().await;
    decisions_and_requests(&work);
    log_and_feed(&work);
    orders_and_holds(&work);
    stores(&work);
}

fn decisions_and_requests(work: &Work) {
    let decisions = "holdfast_decisions_total";
    let refused = |reason| decided("refused", reason);
    // Two sales, an order placed and given up, a hold.
    assert_eq!(work.grown(decisions, &decided("applied", "none")), 5.0);
    assert_eq!(
        work.grown(decisions, &refused("insufficient_inventory")),
        1.0
    );
    assert_eq!(
        work.grown(decisions, &refused("idempotency_key_reused")),
        1.0
    );
    assert_eq!(work.grown(decisions, &decided("replayed", "none")), 1.0);

    let updates = |status: &'static str| {
        [
            ("method", "POST"),
            ("route", "/v1/inventory/updates"),
            ("status", status),
        ]
    };
    let requests = "holdfast_http_requests_total";
    assert_eq!(work.grown(requests, &updates("2xx")), 3.0);
    assert_eq!(work.grown(requests, &updates("4xx")), 2.0);
    assert_eq!(
        work.grown(
            "holdfast_http_request_duration_seconds_count",
            &updates("2xx")
        ),
        3.0
    );
    let lost = [("method", "GET"), ("route", "-"), ("status", "4xx")];
    assert_eq!(work.grown(requests, &lost), 1.0);
}

fn log_and_feed(work: &Work) {
    let records = work.grown("holdfast_journal_head_seq", &[]);
    let syncs = work.grown("holdfast_frame_records_count", &[]);
    assert_eq!(
        work.grown("holdfast_journal_sync_duration_seconds_count", &[]),
        syncs
    );
    assert!(syncs > 0.0 && syncs <= records);
    assert_eq!(
        work.now("holdfast_snapshot_behind_records", &[]),
        work.now("holdfast_journal_head_seq", &[]) - 2.0
    );
    assert!(work.now("holdfast_snapshot_age_seconds", &[]) < 60.0);
    assert!(work.grown("holdfast_journal_bytes", &[]) > 0.0);
    assert_eq!(work.now("holdfast_journal_segments", &[]), 1.0);
    // s1, s2, s3, the order, the hold.
    assert_eq!(work.grown("holdfast_idempotency_keys", &[]), 5.0);
    assert_eq!(work.now("holdfast_writer_queue_commands", &[]), 0.0);

    let feed = [("feed", "inventory")];
    assert_eq!(work.now("holdfast_feed_head_offset", &feed), work.head);
    assert_eq!(
        work.grown("holdfast_feed_events_delivered_total", &feed),
        work.head
    );
    let full = [("feed", "inventory"), ("outcome", "events")];
    assert_eq!(work.grown("holdfast_feed_polls_total", &full), 1.0);
    // The first event is from before the restart, so it was on the disk.
    assert_eq!(
        work.grown("holdfast_feed_reads_total", &[("source", "journal")]),
        1.0
    );
}

fn orders_and_holds(work: &Work) {
    assert_eq!(work.now("holdfast_orders", &[("status", "confirmed")]), 1.0);
    assert_eq!(work.now("holdfast_orders", &[("status", "failed")]), 1.0);
    assert_eq!(work.now("holdfast_orders_in_progress", &[]), 0.0);
    for (status, orders) in [("reserved", 1.0), ("failed", 1.0), ("confirmed", 0.0)] {
        let status = [("status", status)];
        assert_eq!(
            work.grown("holdfast_order_transitions_total", &status),
            orders,
            "{status:?}"
        );
    }
    let payments = |outcome: &'static str| [("step", "charge"), ("outcome", outcome)];
    assert_eq!(
        work.now("holdfast_payments_total", &payments("approved")),
        1.0
    );
    assert_eq!(
        work.now("holdfast_payments_total", &payments("declined")),
        1.0
    );
    assert_eq!(
        work.now(
            "holdfast_saga_step_duration_seconds_count",
            &[("step", "charge")]
        ),
        2.0
    );
    assert_eq!(
        work.now("holdfast_retries_total", &[("target", "payments")]),
        0.0
    );
    // A hold for each order and one for itself; one sold, one given back, one run out.
    assert_eq!(work.now("holdfast_reservations_made_total", &[]), 3.0);
    assert_eq!(work.now("holdfast_reservations_active", &[]), 0.0);
    for state in ["committed", "released"] {
        let resolved = work.now("holdfast_reservations_resolved_total", &[("state", state)]);
        assert_eq!(resolved, 1.0, "{state}");
    }
}

fn stores(work: &Work) {
    assert_eq!(work.now("holdfast_stores_known", &[]), 2.0);
    assert_eq!(work.now("holdfast_stores_online", &[]), 2.0);
    assert_eq!(work.now("holdfast_stores_drifted", &[]), 1.0);
    for (store, lag, drifted) in [("store-s1", work.head, 0.0), ("store-s2", 0.0, 1.0)] {
        let store = [("store", store)];
        assert_eq!(work.now("holdfast_store_online", &store), 1.0);
        assert_eq!(work.now("holdfast_store_lag_events", &store), lag);
        assert_eq!(work.now("holdfast_store_drifted", &store), drifted);
        assert_eq!(
            work.now("holdfast_store_lag_seconds", &store) > 0.0,
            lag > 0.0
        );
    }
    let breaker = |state: &'static str| [("breaker", "payments"), ("state", state)];
    assert_eq!(work.now("holdfast_breaker_state", &breaker("closed")), 1.0);
    assert_eq!(work.now("holdfast_breaker_state", &breaker("open")), 0.0);
    let calls = [("breaker", "payments"), ("outcome", "success")];
    assert_eq!(work.now("holdfast_breaker_calls_total", &calls), 2.0);
    assert_eq!(work.now("holdfast_products", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_polls_are_seen_while_they_are_parked_and_not_timed() {
    let central = TestCentral::start().await;
    central.create("A", 10).await;
    let url = format!("{}/v1/inventory/events?offset=1&wait=60", central.url);
    let poll = central
        .client
        .get(url)
        .header("x-api-key", crate::harness::KEY);
    let parked = tokio::spawn(poll.send());
    reaches(&central, "holdfast_feed_parked_polls", &[], 1.0).await;
    reaches(&central, "holdfast_http_requests_in_flight", &[], 1.0).await;
    assert_eq!(central.update("A", -1, "k").await.status(), 200);
    assert_eq!(parked.await.unwrap().unwrap().status(), 200);
    reaches(&central, "holdfast_feed_parked_polls", &[], 0.0).await;
    let seen = scrape(&central).await;
    let route = [
        ("method", "GET"),
        ("route", "/v1/inventory/events"),
        ("status", "2xx"),
    ];
    assert_eq!(
        seen.value("holdfast_http_requests_total", &route),
        Some(1.0)
    );
    let timed = seen.value("holdfast_http_request_duration_seconds_count", &route);
    assert_eq!(timed, None, "nobody but the poll has asked this");
    let shared = seen.value("holdfast_feed_reads_total", &[("source", "ring")]);
    assert_eq!(shared, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_words_of_ours_whatever_is_sent() {
    let central = at_work().await;
    for path in [
        "/x/SECRET-1",
        "/v1/inventory/SECRET-2",
        "/v1/orders/SECRET-3/events",
        "/docs/SECRET-4",
    ] {
        central.get(path).await;
        let odd = Method::from_bytes(b"SECRET").unwrap();
        central
            .request(odd, path, "SECRET-key")
            .send()
            .await
            .unwrap();
    }
    central.update("SECRET-5", -1, "SECRET-6").await;
    order(&central, "SECRET-7", "SECRET-8").await;
    let seen = scrape(&central).await;
    let known = document()["paths"].as_object().unwrap();
    for route in seen.label_values("route") {
        let ours = known.contains_key(route) || route == "-" || route.starts_with("/docs");
        assert!(ours && !route.contains("SECRET"), "{route}");
    }
    let methods = BTreeSet::from(["GET", "POST", "PUT", "DELETE", "other"]);
    assert!(seen.label_values("method").is_subset(&methods));
    for label in [
        "status", "reason", "outcome", "state", "step", "feed", "source", "store",
    ] {
        let values = seen.label_values(label);
        assert!(
            !values.is_empty() && values.len() < 20,
            "{label}: {values:?}"
        );
        assert!(
            values.iter().all(|value| !value.contains("SECRET")),
            "{values:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_on_their_own_port_only() {
    let central = TestCentral::start().await;
    let public = central.request(Method::GET, "/metrics", crate::harness::ADMIN_KEY);
    assert_eq!(public.send().await.unwrap().status(), 404);
    let inside = central
        .client
        .get(format!("{}/v1/info", central.metrics_url));
    assert_eq!(inside.send().await.unwrap().status(), 404);
    scrape(&central).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_under_load_is_whole_and_adds_up_in_the_end() {
    let central = Arc::new(TestCentral::start().await);
    central.create("A", 1_000_000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sold = Arc::new(AtomicU64::new(0));
    let sellers = (0..16).map(|seller| {
        let (central, stop, sold) = (Arc::clone(&central), Arc::clone(&stop), Arc::clone(&sold));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = sold.fetch_add(1, Ordering::Relaxed);
                let sale = central.update("A", -1, &format!("{seller}-{number}")).await;
                assert_eq!(sale.status(), 200);
            }
        })
    });
    let sellers: Vec<_> = sellers.collect();
    let applied = [("outcome", "applied"), ("reason", "none")];
    let updates = [
        ("method", "POST"),
        ("route", "/v1/inventory/updates"),
        ("status", "2xx"),
    ];
    let mut last = (0.0, 0.0);
    let (begun, mut scrapes) = (Instant::now(), 0);
    // Also where the disk is slow: as many scrapes, and as many sales.
    while scrapes < 25 || sold.load(Ordering::Relaxed) <= 25 {
        assert!(begun.elapsed() < PATIENCE, "there is no load");
        scrapes += 1;
        let seen = scrape(&central).await;
        let decided = seen.value("holdfast_decisions_total", &applied).unwrap();
        let answered = seen
            .value("holdfast_http_requests_total", &updates)
            .unwrap_or(0.0);
        assert!(
            decided >= last.0 && answered >= last.1,
            "{decided} {answered} after {last:?}"
        );
        last = (decided, answered);
    }
    stop.store(true, Ordering::Relaxed);
    for seller in sellers {
        seller.await.unwrap();
    }
    let sold = sold.load(Ordering::Relaxed) as f64;
    // The product itself was one decision too.
    reaches(&central, "holdfast_decisions_total", &applied, sold + 1.0).await;
    let seen = scrape(&central).await;
    assert_eq!(
        seen.value("holdfast_http_requests_total", &updates),
        Some(sold)
    );
    assert_eq!(
        seen.value("holdfast_http_requests_in_flight", &[]),
        Some(0.0)
    );
}
