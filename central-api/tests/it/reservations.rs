//! Reservations over HTTP: made, resolved once, listed, and ended by time.
//!
//! Longer than most files: all of them make and resolve holds with the same few helpers.

mod bodies;
mod lists;
mod time;

use reqwest::Method;
use serde_json::{Value, json};
use shared::limits;
use shared::service::auth::ApiKeys;
use tempfile::TempDir;

use crate::harness::sorted_fields;
use crate::served::{ADMIN, READER, Reply, SHOP, Served, create, decide};

/// The key of store `store-s2`.
const OTHER_SHOP: &str = "other-shop-key";

/// A central with `A`, `B` and `C`, ten units of each.
async fn stocked(dir: &TempDir) -> Served {
    let central = Served::start_with(dir, |config| {
        let shops = format!("{SHOP}@store-s1,{OTHER_SHOP}@store-s2,{READER}:read");
        config.keys = ApiKeys::parse(&shops, ADMIN).unwrap();
    });
    let central = central.await;
    let ids = ["A", "B", "C"].map(str::to_owned);
    decide(&central.ledger, create(ids, 10)).await;
    central
}

/// Posts as `who`, under `key`.
async fn post_as(central: &Served, who: &str, path: &str, key: &str, body: &Value) -> Reply {
    let headers = [("x-api-key", who), ("idempotency-key", key)];
    central.post(path, &headers, body).await
}

async fn post(central: &Served, path: &str, key: &str, body: &Value) -> Reply {
    post_as(central, ADMIN, path, key, body).await
}

/// Holds units as the admin, under the id's own key.
async fn hold(central: &Served, id: &str, lines: &[(&str, i64)]) -> Value {
    let body = json!({"reservationId": id, "owner": "ann", "lines": lines_of(lines)});
    let reply = post(central, "/v1/reservations", id, &body).await;
    reply.expect(201)
}

fn lines_of(lines: &[(&str, i64)]) -> Value {
    let line =
        |(product, quantity): &(&str, i64)| json!({"productId": product, "quantity": quantity});
    lines.iter().map(line).collect()
}

/// On hand, reserved, available.
async fn figures(central: &Served, product: &str) -> (i64, i64, i64) {
    let path = format!("/v1/inventory/{product}");
    let product = central.get(&path).await.expect(200);
    let figure = |name: &str| product[name].as_i64().unwrap();
    (figure("onHand"), figure("reserved"), figure("available"))
}

async fn state(central: &Served, id: &str) -> Value {
    let path = format!("/v1/reservations/{id}");
    central.get(&path).await.expect(200)["state"].clone()
}

#[tokio::test]
async fn units_are_held_and_leave_the_house_once() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let body = json!({
        "owner": "ann", "reference": "cart 7", "ttlSeconds": 60,
        "lines": lines_of(&[("A", 2), ("B", 1), ("A", 1)]),
    });
    let reply = post_as(&central, SHOP, "/v1/reservations", "r1", &body).await;
    let made = reply.expect(201);
    let id = made["reservationId"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/v1/reservations/{id}"));
    assert_eq!(made["state"], "active");
    assert_eq!(made["storeId"], "store-s1");
    assert_eq!(made["lines"], lines_of(&[("A", 3), ("B", 1)]));
    let head = central.ledger.published().head().offset;
    assert_eq!(made["asOfOffset"], head);
    assert_eq!(figures(&central, "A").await, (10, 3, 7));
    let shown = central.get(reply.header("location")).await.expect(200);
    for name in [
        "owner",
        "reference",
        "lines",
        "state",
        "createdAt",
        "expiresAt",
    ] {
        assert_eq!(shown[name], made[name], "{name}");
    }

    let path = |what: &str| format!("/v1/reservations/{id}/{what}");
    let longer = post(&central, &path("extend"), "e1", &json!({"ttlSeconds": 600})).await;
    let longer = longer.expect(200);
    assert!(longer["expiresAt"].as_str() > made["expiresAt"].as_str());
    let committed = post(&central, &path("commit"), "c1", &json!({})).await;
    assert_eq!(committed.expect(200)["state"], "committed");
    assert_eq!(figures(&central, "A").await, (7, 0, 7));
    assert_eq!(figures(&central, "B").await, (9, 0, 9));

    // A repeat says the same, under another key too; what contradicts it is refused.
    let again = post(&central, &path("commit"), "c2", &json!({})).await;
    let again = again.expect(200);
    assert_eq!(again["state"], "committed");
    assert_eq!(again["resolvedAt"], committed.json()["resolvedAt"]);
    for (what, body) in [("release", json!({})), ("extend", json!({"ttlSeconds": 1}))] {
        let refused = post(&central, &path(what), what, &body).await.expect(409);
        assert_eq!(refused["code"], "reservation_resolved", "{what}");
        assert_eq!(refused["state"], "committed");
        assert_eq!(refused["reservationId"], id);
    }
    assert_eq!(figures(&central, "A").await, (7, 0, 7));
    for what in ["commit", "release"] {
        let path = format!("/v1/reservations/nobody/{what}");
        let missing = post(&central, &path, what, &json!({})).await;
        let missing = missing.status.as_u16();
        assert!(matches!(missing, 404 | 422), "{missing}");
    }
    let missing = central.get("/v1/reservations/nobody").await.expect(404);
    assert_eq!(missing["code"], "reservation_not_found");
    central.stop().await;
}

#[tokio::test]
async fn a_repeat_is_told_what_the_first_request_was_told_whatever_has_happened_since() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let new = json!({"owner": "ann", "lines": lines_of(&[("A", 2)])});
    let first = post(&central, "/v1/reservations", "r", &new).await;
    let id = first.expect(201)["reservationId"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = |what: &str| format!("/v1/reservations/{id}/{what}");
    let bodies = [
        ("extend", json!({"ttlSeconds": 60})),
        ("release", json!({})),
    ];
    let mut told = vec![("/v1/reservations".to_owned(), "r", new.clone(), first)];
    for (what, body) in bodies {
        let reply = post(&central, &path(what), what, &body).await;
        reply.expect(200);
        told.push((path(what), what, body, reply));
    }
    let body = json!({});
    let refused = post(&central, &path("commit"), "commit", &body).await;
    refused.expect(409);
    told.push((path("commit"), "commit", body, refused));
    let short = json!({"owner": "ann", "lines": lines_of(&[("A", 11)])});
    let reply = post(&central, "/v1/reservations", "short", &short).await;
    reply.expect(409);
    told.push(("/v1/reservations".to_owned(), "short", short, reply));

    let before = central.ledger.published().head();
    for (path, key, body, first) in told {
        let again = post(&central, &path, key, &body).await;
        assert_eq!(again.header("idempotent-replayed"), "true", "{key}");
        assert_eq!(again.status, first.status, "{key}");
        let (mut again, mut first) = (again.json(), first.json());
        for body in [&mut again, &mut first] {
            body.as_object_mut().unwrap().remove("requestId");
        }
        assert_eq!(again, first, "{key}");
    }
    let other = json!({"owner": "ann", "lines": lines_of(&[("A", 3)])});
    let reused = post(&central, "/v1/reservations", "r", &other).await;
    assert_eq!(reused.expect(422)["code"], "idempotency_key_reused");
    assert_eq!(
        central.ledger.published().head(),
        before,
        "nothing was decided"
    );
    central.stop().await;
}

#[tokio::test]
async fn a_shop_speaks_for_itself_alone() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let new = |store: Option<&str>| {
        let lines = lines_of(&[("A", 1)]);
        json!({"owner": "ann", "reference": "cart", "reservationId": "of-s1", "lines": lines, "storeId": store})
    };
    let other = post_as(
        &central,
        SHOP,
        "/v1/reservations",
        "r",
        &new(Some("store-s2")),
    )
    .await;
    assert_eq!(other.expect(403)["code"], "forbidden");
    let own = post_as(
        &central,
        SHOP,
        "/v1/reservations",
        "r",
        &new(Some("store-s1")),
    )
    .await;
    assert_eq!(own.expect(201)["storeId"], "store-s1");
    for (what, body) in [
        ("commit", json!({})),
        ("release", json!({})),
        ("extend", json!({"ttlSeconds": 60})),
    ] {
        let path = format!("/v1/reservations/of-s1/{what}");
        let refused = post_as(&central, OTHER_SHOP, &path, what, &body)
            .await
            .expect(403);
        assert_eq!(refused["code"], "forbidden", "{what}");
        let named = json!({"storeId": "store-s1", "ttlSeconds": 60});
        let refused = post_as(&central, OTHER_SHOP, &path, what, &named).await;
        assert!(matches!(refused.status.as_u16(), 400 | 403), "{what}");
    }
    // Nor by choosing the same name, nor at the product's address.
    let mut same = new(None);
    same["reservationId"] = "of-s2".into();
    post_as(&central, OTHER_SHOP, "/v1/reservations", "r", &same)
        .await
        .expect(201);
    let body = json!({"reservationId": "of-s1"});
    let refused = post_as(&central, OTHER_SHOP, "/v1/inventory/A/release", "x", &body).await;
    refused.expect(403);
    assert_eq!(state(&central, "of-s1").await, "active");
    assert_eq!(figures(&central, "A").await, (10, 2, 8));
    let path = "/v1/reservations/of-s1/commit";
    let own = post_as(&central, SHOP, path, "c", &json!({})).await;
    assert_eq!(own.expect(200)["state"], "committed");
    central.stop().await;
}

#[tokio::test]
async fn a_new_hold_under_the_same_name_takes_the_place_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let cart = |id: &str, units: i64| {
        let lines = lines_of(&[("A", units)]);
        json!({"owner": "ann", "reference": "cart", "reservationId": id, "lines": lines})
    };
    post(&central, "/v1/reservations", "1", &cart("one", 8))
        .await
        .expect(201);
    post(&central, "/v1/reservations", "2", &cart("two", 9))
        .await
        .expect(201);
    assert_eq!(state(&central, "one").await, "released");
    assert_eq!(figures(&central, "A").await, (10, 9, 1));
    let taken = post(&central, "/v1/reservations", "3", &cart("two", 1))
        .await
        .expect(409);
    assert_eq!(taken["code"], "reservation_exists");
    central.stop().await;
}

#[tokio::test]
async fn one_product_is_held_and_given_back_at_its_own_address() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let body = json!({"quantity": 4});
    let made = post_as(&central, SHOP, "/v1/inventory/A/reserve", "k", &body).await;
    let answer = made.expect(201);
    assert_eq!(answer["productId"], "A");
    assert_eq!(
        (&answer["reserved"], &answer["available"]),
        (&json!(4), &json!(6))
    );
    assert_eq!(answer["totalReserved"], 4);
    assert_eq!(answer["owner"], "store-s1");
    let again = post_as(&central, SHOP, "/v1/inventory/A/reserve", "k", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.expect(201), answer);
    let short = post(
        &central,
        "/v1/inventory/A/reserve",
        "s",
        &json!({"quantity": 7}),
    )
    .await;
    let short = short.expect(409);
    assert_eq!(short["code"], "insufficient_inventory");
    assert_eq!(short["lines"][0]["available"], 6);
    let missing = post(&central, "/v1/inventory/X/reserve", "m", &body)
        .await
        .expect(404);
    assert_eq!(missing["code"], "product_not_found");

    let body = json!({"reservationId": answer["reservationId"]});
    let elsewhere = post(&central, "/v1/inventory/B/release", "e", &body)
        .await
        .expect(400);
    assert_eq!(sorted_fields(&elsewhere), ["reservationId"]);
    let freed = post_as(&central, SHOP, "/v1/inventory/A/release", "f", &body)
        .await
        .expect(200);
    assert_eq!(
        (&freed["released"], &freed["reserved"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(
        (&freed["available"], &freed["totalReserved"]),
        (&json!(10), &json!(0))
    );
    // Whoever releases twice has released once.
    let twice = post_as(&central, SHOP, "/v1/inventory/A/release", "g", &body)
        .await
        .expect(200);
    assert_eq!(twice["state"], "released");
    assert_eq!(figures(&central, "A").await, (10, 0, 10));

    hold(&central, "both", &[("A", 1), ("B", 1)]).await;
    let body = json!({"reservationId": "both"});
    post(&central, "/v1/inventory/A/release", "h", &body)
        .await
        .expect(400);
    assert_eq!(state(&central, "both").await, "active");
    central.stop().await;
}

#[tokio::test]
async fn history_says_for_whom_and_shortfalls_say_whose_hold_is_at_risk() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    hold(&central, "first", &[("A", 6)]).await;
    hold(&central, "second", &[("A", 2), ("B", 1)]).await;
    let count = json!({"countedBy": "Ada", "lines": [{"productId": "A", "counted": 5}]});
    post(&central, "/v1/inventory/counts", "count", &count)
        .await
        .expect(200);
    let short = central.get("/v1/inventory/shortfalls").await.expect(200);
    let row = &short["shortfalls"][0];
    assert_eq!(
        (&row["productId"], &row["available"]),
        (&json!("A"), &json!(-3))
    );
    assert_eq!(row["reservationsAtRisk"], 2);
    let at_risk: Vec<_> = row["reservations"].as_array().unwrap().iter().collect();
    assert_eq!(at_risk[0]["reservationId"], "second");
    assert_eq!(
        (&at_risk[0]["quantity"], &at_risk[0]["owner"]),
        (&json!(2), &json!("ann"))
    );
    assert_eq!(at_risk[1]["reservationId"], "first");

    let path = "/v1/reservations/first/commit";
    post(&central, path, "c", &json!({})).await.expect(200);
    let path = "/v1/reservations/second/release";
    post(&central, path, "r", &json!({})).await.expect(200);
    for (kind, reservation, quantity, delta) in [
        ("reserved", "second", 2, 0),
        ("committed", "first", 6, -6),
        ("released", "second", 2, 0),
    ] {
        let path = format!("/v1/inventory/A/history?kind={kind}");
        let page = central.get(&path).await.expect(200);
        let cause = &page["entries"][0]["cause"];
        assert_eq!(cause["kind"], kind);
        assert_eq!(cause["reservationId"], reservation, "{page}");
        assert_eq!(cause["quantity"], quantity, "{page}");
        assert_eq!(cause["delta"].as_i64().unwrap_or(0), delta, "{page}");
    }
    assert_eq!(figures(&central, "A").await, (-1, 0, -1));
    central.stop().await;
}

#[tokio::test]
async fn an_orders_hold_is_resolved_by_its_order_alone_and_named_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let price = json!({"price": 2.5, "version": null});
    let priced = central.send(Method::PUT, "/v1/products/A", &[], Some(&price));
    priced.await.expect(200);
    let items = lines_of(&[("A", 3)]);
    let body = json!({"customerId": "ann", "items": items, "confirm": false});
    let order = post(&central, "/v1/orders", "o", &body).await.expect(201);
    let id = order["reservationId"].as_str().unwrap();
    let path = format!("/v1/reservations/{id}");
    let held = central.get(&path).await.expect(200);
    assert_eq!(held["orderId"], order["orderId"]);
    assert_eq!(held["state"], "active");
    // It is paid: those units have been sold and do not run out.
    assert_eq!(held["expiresAt"], Value::Null);
    let bodies = [
        ("commit", json!({"reacquire": true})),
        ("release", json!({})),
        ("extend", json!({"ttlSeconds": 60})),
    ];
    for (what, body) in bodies {
        let path = format!("{path}/{what}");
        let refused = post(&central, &path, what, &body).await.expect(409);
        assert_eq!(refused["code"], "reservation_of_order", "{what}");
        assert_eq!(refused["orderId"], order["orderId"]);
    }
    let history = central.get("/v1/inventory/A/history?kind=reserved").await;
    let cause = &history.expect(200)["entries"][0]["cause"];
    assert_eq!(cause["orderId"], order["orderId"]);
    assert_eq!(cause["reservationId"], id);
    let lines = json!([{"productId": "A", "counted": 1}]);
    let count = json!({"countedBy": "Ada", "lines": lines});
    let counted = post(&central, "/v1/inventory/counts", "c", &count).await;
    counted.expect(200);
    let short = central.get("/v1/inventory/shortfalls").await.expect(200);
    let at_risk = &short["shortfalls"][0]["reservations"][0];
    assert_eq!(at_risk["orderId"], order["orderId"], "{short}");
    assert_eq!(at_risk["quantity"], 3);
    central.stop().await;
}

#[tokio::test]
async fn the_service_says_what_reservations_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let info = central
        .send(Method::GET, "/v1/info", &[], None)
        .await
        .expect(200);
    assert!(
        info["features"]
            .as_array()
            .unwrap()
            .contains(&json!("reservations"))
    );
    let limits = &info["limits"];
    assert_eq!(limits["reservationTtlSecondsDefault"], 900);
    assert_eq!(limits["reservationTtlSecondsMax"], 86_400);
    assert_eq!(limits["reservationLifeSecondsMax"], 604_800);
    central.stop().await;
}

#[tokio::test]
async fn a_figure_out_of_its_range_is_refused_with_the_figures_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    let most = limits::STOCK_UNITS;
    let lines = json!([{"productId": "A", "counted": most}]);
    let count = json!({"countedBy": "Ada", "lines": lines});
    post(&central, "/v1/inventory/counts", "c", &count)
        .await
        .expect(200);
    let body = json!({"storeId": "store-s1", "productId": "A", "delta": 1, "reason": "found"});
    let refused = post(&central, "/v1/inventory/updates", "u", &body).await;
    let refused = refused.expect(409);
    assert_eq!(refused["code"], "stock_out_of_range");
    assert_eq!(
        (&refused["available"], &refused["newQuantity"]),
        (&json!(most), &json!(most))
    );
    assert_eq!(
        (&refused["version"], &refused["newVersion"]),
        (&json!(2), &json!(2))
    );
    let product = central.get("/v1/inventory/A").await.expect(200);
    assert_eq!(refused["lastUpdated"], product["lastUpdated"]);
    central.stop().await;
}
