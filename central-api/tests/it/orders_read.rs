//! What can be asked about orders: one, pages of them, a payment, and what they sum up to.
//!
//! Longer than most files, because every question is asked of the same few orders.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::domain::ids::OrderId;
use shared::domain::order::{Command, PaymentOutcome, Transition};
use tempfile::TempDir;

use crate::harness::fields;
use crate::served::{Reply, SHOP, Served};
use crate::shop::{
    approved, declined, moved, order, place, placed, readdressed, recorded, refund_refused,
    refunded, settled, stocked, unknown,
};

const BOUND: [(&str, &str); 1] = [("x-api-key", SHOP)];

/// Two shops and two buyers: `o-0` … of which every third is paid and confirmed, every fourth of the
/// others declined.
async fn busy(dir: &TempDir, count: usize) -> Served {
    let central = Served::start(dir).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A"], 10_000).await;
    for number in 0..count {
        let name = format!("{number:03}");
        let customer = ["ada", "bo"][number % 2];
        let store = ["store-s1", "store-s2"][number / 2 % 2];
        placed(ledger, place(&name, customer, Some(store))).await;
        match number {
            paid if paid % 3 == 0 => approved(ledger, &name).await,
            refused if refused % 4 == 0 => declined(ledger, &name).await,
            _ => {}
        }
    }
    central
}

fn ids(answer: &Value) -> Vec<String> {
    let orders = answer["orders"].as_array().unwrap().iter();
    orders
        .map(|order| order["orderId"].as_str().unwrap().to_owned())
        .collect()
}

/// Every order that a list has, by cursor, in pages of `limit`.
async fn walk(
    central: &Served,
    query: &str,
    limit: usize,
    headers: &[(&str, &str)],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut path = format!("/v1/orders?{query}&cursor=&limit={limit}");
    loop {
        let page = central.get_with(&path, headers).await.expect(200);
        let rows = ids(&page);
        let pagination = &page["pagination"];
        assert_eq!(pagination["offset"], found.len(), "{path}");
        found.extend(rows);
        match page["nextCursor"].as_str() {
            Some(next) => {
                assert_eq!(pagination["has_more"], true);
                path = format!("/v1/orders?cursor={next}&limit={limit}");
            }
            None => {
                assert_eq!(pagination["has_more"], false);
                assert_eq!(pagination["total_count"], found.len(), "{path}");
                return found;
            }
        }
    }
}

#[tokio::test]
async fn every_filter_gives_the_same_orders_by_offset_and_by_cursor_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 48).await;
    let all = central.get("/v1/orders?limit=200").await.expect(200);
    let orders = all["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 48);
    let order = |order: &Value| {
        let created = order["createdAt"].as_str().unwrap().to_owned();
        (created, order["orderId"].as_str().unwrap().to_owned())
    };
    assert!(orders.is_sorted_by(|one, other| order(one) > order(other)));
    let head = central.ledger.published().head();
    assert_eq!(all["asOfOffset"], head.orders);
    assert_eq!(all["gen"], central.ledger.published().log_gen().to_string());

    let customers = [None, Some("ada"), Some("bo"), Some("nobody")];
    let stores = [None, Some("store-s1"), Some("store-s2")];
    let statuses = [
        None,
        Some("reserved"),
        Some("confirmed"),
        Some("failed"),
        Some("completed"),
    ];
    let mut some = 0;
    for customer in customers {
        for store in stores {
            for status in statuses {
                let is = |order: &Value, name: &str, wanted: Option<&str>| {
                    wanted.is_none_or(|wanted| order[name] == wanted)
                };
                let expected = orders.iter().filter(|order| {
                    is(order, "customerId", customer)
                        && is(order, "storeId", store)
                        && is(order, "status", status)
                });
                let expected = expected.map(|order| order["orderId"].as_str().unwrap().to_owned());
                let expected: Vec<String> = expected.collect();
                some += usize::from(!expected.is_empty());
                let pairs = [
                    ("customerId", customer),
                    ("storeId", store),
                    ("status", status),
                ];
                let pairs = pairs
                    .into_iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
                let query = pairs.collect::<Vec<_>>().join("&");
                for limit in [1, 7, 100] {
                    assert_eq!(
                        walk(&central, &query, limit, &[]).await,
                        expected,
                        "{query}"
                    );
                }
                let page = central
                    .get(&format!("/v1/orders?{query}&offset=3&limit=4"))
                    .await;
                let page = page.expect(200);
                let there: Vec<_> = expected.iter().skip(3).take(4).cloned().collect();
                assert_eq!(ids(&page), there, "{query}");
                assert_eq!(page["pagination"]["total_count"], expected.len(), "{query}");
            }
        }
    }
    assert!(some > 20, "{some} lists have orders");
    central.stop().await;
}

#[tokio::test]
async fn a_walk_survives_changes_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 12).await;
    let before = ids(&central.get("/v1/orders").await.expect(200));
    let page = central.get("/v1/orders?cursor=&limit=5").await.expect(200);
    let next = page["nextCursor"].as_str().unwrap().to_owned();
    // A new order is newer than the walk; one that moves on keeps its place.
    placed(&central.ledger, place("new", "ada", None)).await;
    approved(&central.ledger, "001").await;
    central.stop().await;
    let central = Served::start(&dir).await;
    let rest = central
        .get(&format!("/v1/orders?cursor={next}&limit=100"))
        .await;
    assert_eq!(ids(&rest.expect(200)), before[5..]);
    let now = ids(&central.get("/v1/orders").await.expect(200));
    assert_eq!(now[0], "ord-new");
    assert_eq!(now[1..], before);
    central.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_list_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 3).await;
    let page = central
        .get("/v1/orders?customerId=ada&cursor=&limit=1")
        .await;
    let next = page.expect(200)["nextCursor"].as_str().unwrap().to_owned();
    for (query, expected) in [
        ("limit=0".to_owned(), "limit"),
        ("limit=x".to_owned(), "limit"),
        ("offset=-1".to_owned(), "offset"),
        ("offset=0&cursor=".to_owned(), "cursor"),
        ("cursor=nonsense".to_owned(), "cursor"),
        (format!("cursor={next}x"), "cursor"),
        (format!("cursor={next}&customerId=bo"), "cursor"),
        (format!("cursor={next}&status=paid"), "cursor"),
        ("status=lost".to_owned(), "status"),
        ("customerId=a%20b".to_owned(), "customerId"),
        ("storeId=".to_owned(), "storeId"),
        ("sort=price".to_owned(), "sort"),
        (
            "status=x&limit=0&offset=y".to_owned(),
            "limit offset status",
        ),
    ] {
        let problem = central
            .get(&format!("/v1/orders?{query}"))
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
    // More than there may be is what there may be.
    for (query, limit) in [("limit=100000", 200), ("cursor=&limit=100000", 1_000)] {
        let page = central
            .get(&format!("/v1/orders?{query}"))
            .await
            .expect(200);
        assert_eq!(page["pagination"]["limit"], limit, "{query}");
    }
    central.stop().await;
}

#[tokio::test]
async fn one_order_has_a_tag_that_changes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 2).await;
    let order = central.get("/v1/orders/ord-001").await;
    let body = order.expect(200);
    assert_eq!(
        (&body["version"], &body["status"]),
        (&1.into(), &"reserved".into())
    );
    assert_eq!(body["items"][0]["subtotal"], 1.95);
    let tag = order.header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    let asked = [("if-none-match", tag.as_str())];
    let same = central.get_with("/v1/orders/ord-001", &asked).await;
    assert_eq!((same.status.as_u16(), same.bytes.len()), (304, 0));
    readdressed(&central.ledger, "001", "1 Mill Lane").await;
    let changed = central.get_with("/v1/orders/ord-001", &asked).await;
    assert_eq!(changed.expect(200)["shippingAddress"], "1 Mill Lane");
    assert_eq!(changed.header("etag"), "\"2\"");

    let problem = central.get("/v1/orders/ord-x").await.expect(404);
    assert_eq!(
        (&problem["code"], &problem["orderId"]),
        (&"order_not_found".into(), &"ord-x".into())
    );
    let problem = central.get("/v1/orders/a%20b").await.expect(404);
    assert_eq!(problem["code"], "order_not_found");
    central.stop().await;
}

#[tokio::test]
async fn a_payment_is_found_by_its_id_through_its_whole_life_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    stocked(&central.ledger, &["A"], 10).await;
    placed(&central.ledger, place("1", "ada", Some("store-s1"))).await;
    let payment = async |central: &Served| central.get("/v1/payments/pay-1").await.expect(200);
    let shown = payment(&central).await;
    assert_eq!(shown["status"], "requested");
    assert_eq!(shown["orderId"], "ord-1");
    assert_eq!(
        (&shown["amount"], &shown["currency"]),
        (&1.95.into(), &"USD".into())
    );
    unknown(&central.ledger, "1").await;
    assert_eq!(payment(&central).await["status"], "unknown");
    approved(&central.ledger, "1").await;
    central.stop().await;
    let central = Served::start(&dir).await;
    let shown = payment(&central).await;
    assert_eq!(shown["status"], "approved");
    assert_eq!(shown["authorizationCode"], "AUTH-1");
    let order = central.get("/v1/orders/ord-1").await.expect(200);
    for (name, value) in order["payment"].as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    let problem = central.get("/v1/payments/pay-2").await.expect(404);
    assert_eq!(problem["code"], "payment_not_found");
    central.stop().await;
}

/// Whoever speaks for one shop.
#[tokio::test]
async fn a_key_that_is_bound_to_a_store_sees_that_stores_orders_only() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 12).await;
    placed(&central.ledger, place("phone", "ada", None)).await;
    let own = walk(&central, "storeId=store-s1", 100, &[]).await;
    assert_eq!(own.len(), 6);
    assert_eq!(walk(&central, "", 2, &BOUND).await, own);
    assert_eq!(walk(&central, "storeId=store-s1", 4, &BOUND).await, own);
    let forbidden = |reply: &Reply| assert_eq!(reply.expect(403)["code"], "forbidden");
    for path in [
        "/v1/orders?storeId=store-s2",
        "/v1/orders/ord-002",
        "/v1/orders/ord-002/events",
        "/v1/orders/ord-phone",
        "/v1/payments/pay-002",
        "/v1/orders/stats?storeId=store-s2",
        "/v1/orders/events?offset=0",
        "/v1/reservations?storeId=store-s2",
        "/v1/reservations/res-002",
        "/v1/reservations/res-phone",
    ] {
        forbidden(&central.get_with(path, &BOUND).await);
        central.get(path).await.expect(200);
    }
    // Somebody else's walk is not a way around it.
    let page = central.get("/v1/orders?cursor=&limit=1").await.expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    let reply = central
        .get_with(&format!("/v1/orders?cursor={next}"), &BOUND)
        .await;
    assert_eq!(fields(&reply.expect(400)), ["query.cursor"]);
    // What orders hold says as much as they do.
    let held = central
        .get_with("/v1/reservations", &BOUND)
        .await
        .expect(200);
    let held = held["reservations"].as_array().unwrap();
    assert!(!held.is_empty() && held.iter().all(|held| held["storeId"] == "store-s1"));
    let page = central
        .get("/v1/reservations?storeId=store-s2&limit=1")
        .await
        .expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    forbidden(
        &central
            .get_with(&format!("/v1/reservations?cursor={next}"), &BOUND)
            .await,
    );
    for path in [
        "/v1/orders/ord-001",
        "/v1/orders/ord-001/events",
        "/v1/payments/pay-001",
    ] {
        central.get_with(path, &BOUND).await.expect(200);
    }
    let stats = central
        .get_with("/v1/orders/stats", &BOUND)
        .await
        .expect(200);
    assert_eq!(stats["total"], 6);
    central.stop().await;
}

/// Money that the bank does not give back is found until somebody has seen to it.
#[tokio::test]
async fn orders_whose_refund_was_refused_are_listed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 24).await;
    for name in ["000", "012", "015"] {
        moved(&central.ledger, name, Transition::Cancel).await;
        refund_refused(&central.ledger, name, 1).await;
    }
    let failed = ["ord-015", "ord-012", "ord-000"];
    for limit in [1, 2, 50] {
        assert_eq!(walk(&central, "refund=failed", limit, &[]).await, failed);
        let ada = walk(&central, "refund=failed&customerId=ada", limit, &[]).await;
        assert_eq!(ada, ["ord-012", "ord-000"]);
    }
    let stats = central.get("/v1/orders/stats").await.expect(200);
    assert_eq!(stats["refundsFailed"], 3);
    // Also after a restart, from the log.
    central.stop().await;
    let central = Served::start(&dir).await;
    assert_eq!(walk(&central, "refund=failed", 2, &[]).await, failed);
    // Asked for again, something is being done about it.
    let again = Command::Refund {
        order: OrderId::parse("ord-012").unwrap(),
        amount: None,
    };
    order(&central.ledger, again).await;
    let left = ["ord-015", "ord-000"];
    assert_eq!(walk(&central, "refund=failed", 50, &[]).await, left);
    assert_eq!(walk(&central, "refund=open", 50, &[]).await, ["ord-012"]);
    // Settled by other means, nothing has to be done any more.
    settled(&central.ledger, "000").await;
    assert_eq!(walk(&central, "refund=failed", 50, &[]).await, ["ord-015"]);
    let stats = central.get("/v1/orders/stats").await.expect(200);
    assert_eq!(
        (&stats["refundsFailed"], &stats["refundsOpen"]),
        (&1.into(), &1.into())
    );
    for (query, fields_at_fault) in [
        ("refund=none", "query.refund"),
        ("void=failed", "query.void"),
        ("refund=open&void=open", "query.void"),
    ] {
        let bad = central.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(fields(&bad.expect(400)), [fields_at_fault], "{query}");
    }
    central.stop().await;
}

/// What may have been charged though it came to nothing is found while nobody knows, and what is on its
/// way back until it is there.
#[tokio::test]
async fn orders_whose_money_is_not_where_it_belongs_are_listed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 12).await;
    // 001 and 002 are being paid for, 000 and 003 are paid.
    unknown(&central.ledger, "002").await;
    for name in ["001", "002", "000", "003"] {
        moved(&central.ledger, name, Transition::Cancel).await;
    }
    let check = async |central: &Served, void: &[&str], refund: &[&str], failed: usize| {
        for limit in [1, 50] {
            assert_eq!(walk(central, "void=open", limit, &[]).await, void);
            assert_eq!(walk(central, "refund=open", limit, &[]).await, refund);
        }
        let bo = walk(central, "void=open&customerId=bo", 1, &[]).await;
        assert_eq!(bo.len(), void.iter().filter(|id| **id == "ord-001").count());
        let stats = central.get("/v1/orders/stats").await.expect(200);
        assert_eq!(stats["voidsOpen"], void.len());
        assert_eq!(stats["refundsOpen"], refund.len());
        assert_eq!(stats["refundsFailed"], failed);
    };
    check(
        &central,
        &["ord-002", "ord-001"],
        &["ord-003", "ord-000"],
        0,
    )
    .await;
    // The one was charged all the same, and goes back; the other was not.
    approved(&central.ledger, "002").await;
    recorded(&central.ledger, "001", PaymentOutcome::Voided).await;
    refunded(&central.ledger, "000").await;
    check(&central, &[], &["ord-003", "ord-002"], 0).await;
    central.stop().await;
    let central = Served::start(&dir).await;
    // The bank of this life is asked, and knows nothing of those charges.
    crate::harness::eventually("nothing is on its way", async || {
        central.ledger.published().books.open_orders().is_empty()
    })
    .await;
    check(&central, &[], &[], 2).await;
    central.stop().await;
}

#[tokio::test]
async fn figures_are_those_of_the_orders_of_the_time_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let central = busy(&dir, 24).await;
    moved(&central.ledger, "000", Transition::Complete).await;
    let stats = central.get("/v1/orders/stats").await.expect(200);
    assert_eq!(stats["total"], 24);
    assert_eq!(stats["isComplete"], true);
    let list = central.get("/v1/orders?limit=200").await.expect(200);
    let orders = list["orders"].as_array().unwrap();
    let mut decided = 0;
    for (status, count) in stats["byStatus"].as_object().unwrap() {
        let these = orders.iter().filter(|order| order["status"] == *status);
        assert_eq!(*count, these.count(), "{status}");
    }
    for order in orders {
        decided += usize::from(order["decidedAt"].is_string());
    }
    assert_eq!(stats["processing"]["count"], decided);
    assert!(stats["processing"]["p99Ms"].as_i64().unwrap() >= 0);
    assert!(stats["processing"]["meanMs"].as_f64().unwrap() >= 0.0);

    // Halves of the time have halves of the orders: the beginning is in, the end is not.
    let middle = orders[12]["createdAt"].as_str().unwrap();
    let earlier = orders
        .iter()
        .filter(|order| order["createdAt"].as_str().unwrap() < middle);
    let earlier = earlier.count();
    let before = central
        .get(&format!("/v1/orders/stats?to={middle}"))
        .await
        .expect(200);
    let since = central
        .get(&format!("/v1/orders/stats?from={middle}"))
        .await
        .expect(200);
    assert_eq!(before["total"], earlier);
    assert_eq!(since["total"], 24 - earlier);
    let none = central
        .get(&format!("/v1/orders/stats?from={middle}&to={middle}"))
        .await;
    let none = none.expect(200);
    assert_eq!((&none["total"], none.get("processing")), (&0.into(), None));

    let problem = central
        .get("/v1/orders/stats?from=x&to=y&limit=3")
        .await
        .expect(400);
    let named: BTreeSet<&str> = fields(&problem).into_iter().collect();
    assert_eq!(
        named,
        BTreeSet::from(["query.from", "query.limit", "query.to"])
    );
    let reversed = "/v1/orders/stats?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    assert_eq!(
        fields(&central.get(reversed).await.expect(400)),
        ["query.to"]
    );

    // The bound: the newest, and the answer says how far back they go.
    let books = &central.ledger.published().books;
    let cut = books.order_stats(&Default::default(), None, None, 10);
    assert!(cut.is_cut);
    assert_eq!(cut.total, 10);
    let oldest = orders[9]["createdAt"].as_str().unwrap();
    assert_eq!(cut.oldest.unwrap().to_string(), oldest);
    assert!(
        !books
            .order_stats(&Default::default(), None, None, 24)
            .is_cut
    );
    central.stop().await;
}
