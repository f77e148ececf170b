//! Orders that are taken on: confirmed, called off, completed, paid back.

use super::*;

#[tokio::test]
async fn calling_off_gives_stock_and_money_back_once() {
    let shop = Shop::open().await;
    // Before it is known whether it is paid, when it is paid, and when its units have left.
    for (key, method, confirm) in [
        ("unknown", "card_timeout", true),
        ("late", "card_lost_answer", true),
        ("paid", "card", false),
        ("confirmed", "card", true),
    ] {
        let placed = shop.place(key, |body| {
            body["paymentMethod"] = json!(method);
            body["confirm"] = json!(confirm);
        });
        let order = placed.await.json();
        for attempt in 0..3 {
            let cancelled = shop
                .take(&order, "cancel", &format!("{key}-{attempt}"))
                .await;
            assert_eq!(cancelled.expect(200)["status"], "cancelled", "{key}");
        }
        shop.at_rest().await;
        assert_eq!(shop.stock("A").await, (10, 0, 10), "{key}");
        let (_, charged, refunded) = shop.charged(&order);
        assert_eq!(charged, refunded, "{key}");
        let refused = shop.take(&order, "confirm", &format!("{key}-c")).await;
        let problem = refused.expect(409);
        assert_eq!(problem["code"], "illegal_transition");
        assert_eq!(problem["allowed"], json!([]));
    }
    shop.central.stop().await;
}

/// The call names every fault, and needs a key of its own and an admin.
async fn is_settled_only_by_who_says_how(shop: &Shop, path: &str) {
    let central = &shop.central;
    let bad = [("idempotency-key", "bad")];
    let good = json!({"note": "bank transfer 4711"});
    for (body, at_fault) in [
        (json!({}), vec!["note"]),
        (json!({"note": " "}), vec!["note"]),
        (
            json!({"note": 1, "amount": 0, "to": "ann"}),
            vec!["amount", "note", "to"],
        ),
        (json!({"note": "x".repeat(513)}), vec!["note"]),
    ] {
        let problem = central.post(path, &bad, &body).await.expect(400);
        let mut named = fields(&problem);
        named.sort_unstable();
        assert_eq!(named, at_fault);
    }
    let unkeyed = central.post(path, &[], &good).await.expect(400);
    assert_eq!(unkeyed["code"], "idempotency_key_required");
    let as_shop = [("idempotency-key", "s"), ("x-api-key", SHOP)];
    central.post(path, &as_shop, &good).await.expect(403);
}

/// What the bank refuses to give back an operator gives back by hand, and says so: once, for good, and for
/// everybody to read.
#[tokio::test]
async fn a_refused_refund_is_settled_by_an_operator_once() {
    let shop = Shop::open().await;
    let owed = |body: &mut Value| body["paymentMethod"] = json!("card_refund_refused");
    let order = shop.place("k", owed).await.expect(201);
    let payment = order["payment"]["paymentId"].as_str().unwrap();
    let path = format!("/v1/payments/{payment}/refund/settle");
    let settle = async |key: &str, body: Value| {
        let headers = [("idempotency-key", key)];
        shop.central.post(&path, &headers, &body).await
    };
    let body = || json!({"note": "bank transfer 4711"});
    let early = settle("early", body()).await.expect(409);
    assert_eq!(early["code"], "not_refundable");
    shop.take(&order, "cancel", "c").await.expect(200);
    shop.at_rest().await;
    let listed = async |query: &str| {
        let list = shop.central.get(&format!("/v1/orders?{query}")).await;
        list.expect(200)["orders"].as_array().unwrap().len()
    };
    assert_eq!(listed("refund=failed").await, 1);
    let id = order["orderId"].as_str().unwrap();
    let history = format!("/v1/orders/{id}/events");
    let owed = shop.central.get(&history).await.expect(200);
    assert_eq!(owed["isOver"], false, "somebody has to see to it");

    is_settled_only_by_who_says_how(&shop, &path).await;
    assert_eq!(listed("refund=failed").await, 1);

    let settled = settle("s", body()).await;
    let after = settled.expect(200);
    assert_eq!(after["payment"]["status"], "settled");
    assert_eq!(after["payment"]["settledAmount"], 5.0);
    let again = settle("s", body()).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), settled.json());
    let other = settle("s", json!({"note": "another"})).await.expect(422);
    assert_eq!(other["code"], "idempotency_key_reused");
    let twice = settle("t", body()).await.expect(409);
    assert_eq!(twice["code"], "not_refundable");
    let refund = format!("/v1/payments/{payment}/refund");
    let headers = [("idempotency-key", "r")];
    shop.central
        .post(&refund, &headers, &json!({}))
        .await
        .expect(409);
    assert_eq!(listed("refund=failed").await, 0);
    assert_eq!(shop.charged(&order), (1, 500, 0), "outside of the bank");

    let history = shop.central.get(&history).await.expect(200);
    let events = history["events"].as_array().unwrap().iter();
    let event = events
        .clone()
        .find(|event| event["eventType"] == "refund_settled");
    let cause = &event.unwrap()["cause"];
    assert_eq!(cause["detail"], "bank transfer 4711");
    assert_eq!(cause["idempotencyKey"], "s");
    assert!(cause["actor"].is_string(), "{cause}");
    let refused = events.filter(|event| event["cause"]["kind"] == "settle");
    assert_eq!(refused.count(), 2, "too early, and a second time");
    assert_eq!(history["isOver"], true);
    shop.central.stop().await;
}

#[tokio::test]
async fn statuses_are_taken_by_word_and_only_where_they_can_follow() {
    let shop = Shop::open().await;
    let order = shop
        .place("k", |body| body["confirm"] = json!(false))
        .await
        .expect(201);
    assert_eq!(order["status"], "paid");
    assert_eq!(shop.stock("A").await, (10, 2, 8));
    let path = format!("/v1/orders/{}/status", order["orderId"].as_str().unwrap());
    let put = |status: &str, key: &str| {
        let body = json!({"status": status, "idempotencyKey": key});
        let (central, path) = (&shop.central, &path);
        async move {
            central
                .send(reqwest::Method::PUT, path, &[], Some(&body))
                .await
        }
    };
    let early = put("COMPLETED", "a").await.expect(409);
    assert_eq!(early["allowed"], json!(["confirmed", "cancelled"]));
    assert_eq!(put("paid", "b").await.expect(200)["status"], "paid");
    // Who saw another version is told so, also where there is nothing to do.
    let stale = json!({"status": "paid", "version": 1});
    let put_stale = shop
        .central
        .send(reqwest::Method::PUT, &path, &[], Some(&stale));
    assert_eq!(put_stale.await.expect(409)["code"], "version_conflict");
    let (stale, header) = (json!({"status": "paid"}), [("if-match", "\"1\"")]);
    let put_stale = shop
        .central
        .send(reqwest::Method::PUT, &path, &header, Some(&stale));
    assert_eq!(put_stale.await.expect(412)["code"], "precondition_failed");
    assert_eq!(
        put("pending", "c").await.expect(409)["code"],
        "illegal_transition"
    );
    assert_eq!(
        put("shipped", "d").await.expect(400)["details"][0]["field"],
        "status"
    );
    assert_eq!(
        put("CONFIRMED", "e").await.expect(200)["status"],
        "confirmed"
    );
    assert_eq!(
        put("completed", "f").await.expect(200)["status"],
        "completed"
    );
    assert_eq!(
        put("cancelled", "g").await.expect(409)["orderStatus"],
        "completed"
    );
    assert_eq!(shop.stock("A").await, (8, 0, 8));
    shop.central.stop().await;
}

#[tokio::test]
async fn confirming_and_cancelling_at_the_same_time_has_one_winner() {
    let shop = Shop::open().await;
    for round in 0..10 {
        let key = format!("k{round}");
        let order = shop.place(&key, |body| {
            body["confirm"] = json!(false);
            body["items"] = json!([{"productId": "A", "quantity": 1}]);
        });
        let order = order.await.expect(201);
        let id = order["orderId"].as_str().unwrap();
        let version = order["version"].clone();
        let step = |step: &str| {
            let path = format!("/v1/orders/{id}/{step}");
            let body = json!({"version": version, "idempotencyKey": format!("{step}-{round}")});
            let central = &shop.central;
            async move { central.post(&path, &[], &body).await.status.as_u16() }
        };
        let (confirmed, cancelled) = tokio::join!(step("confirm"), step("cancel"));
        let mut codes = [confirmed, cancelled];
        codes.sort_unstable();
        assert_eq!(codes, [200, 409]);
        shop.take(&order, "cancel", &format!("end-{round}"))
            .await
            .expect(200);
    }
    shop.at_rest().await;
    assert_eq!(shop.stock("A").await, (10, 0, 10));
    let total = shop.bank.total();
    assert_eq!(total.charged_minor, total.refunded_minor);
    shop.central.stop().await;
}

/// Without a version to tell them apart, the state alone decides.
#[tokio::test]
async fn two_that_confirm_take_the_units_once_and_cancelling_beside_them_gives_all_back() {
    let shop = Shop::open().await;
    let unit = |body: &mut Value| {
        body["confirm"] = json!(false);
        body["items"] = json!([{"productId": "A", "quantity": 1}]);
    };
    for round in 0..10 {
        let order = shop.place(&format!("k{round}"), unit).await.expect(201);
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (one, other) = tokio::join!(
            shop.take(&order, "confirm", &a),
            shop.take(&order, "confirm", &b)
        );
        for answer in [one, other] {
            assert_eq!(answer.expect(200)["status"], "confirmed");
        }
        assert_eq!(shop.stock("A").await, (9, 0, 9));
        shop.take(&order, "cancel", &format!("c{round}"))
            .await
            .expect(200);
        assert_eq!(shop.stock("A").await, (10, 0, 10));

        let order = shop.place(&format!("l{round}"), unit).await.expect(201);
        let (a, b) = (format!("d{round}"), format!("e{round}"));
        let (confirmed, cancelled) = tokio::join!(
            shop.take(&order, "confirm", &a),
            shop.take(&order, "cancel", &b)
        );
        // Confirmed and then called off, or called off and then too late to confirm.
        assert_eq!(cancelled.expect(200)["status"], "cancelled");
        assert!(matches!(confirmed.status.as_u16(), 200 | 409));
        assert_eq!(shop.stock("A").await, (10, 0, 10));
    }
    shop.at_rest().await;
    let total = shop.bank.total();
    assert_eq!(total.charged_minor, total.refunded_minor);
    shop.central.stop().await;
}

#[tokio::test]
async fn a_repeat_is_told_how_the_order_stood_though_nothing_was_to_be_done() {
    let shop = Shop::open().await;
    let order = shop.place("k", |_| {}).await.expect(201);
    assert_eq!(order["status"], "confirmed");
    let first = shop.take(&order, "confirm", "again").await;
    assert_eq!(first.expect(200)["status"], "confirmed");
    shop.take(&order, "complete", "end").await.expect(200);
    let repeated = shop.take(&order, "confirm", "again").await;
    assert_eq!(repeated.header("idempotent-replayed"), "true");
    assert_eq!(repeated.json(), first.json());
    // Under a key of its own it is a question of today.
    let today = shop.take(&order, "confirm", "today").await.expect(409);
    assert_eq!(today["orderStatus"], "completed");
    shop.central.stop().await;
}

#[tokio::test]
async fn a_shop_moves_its_own_orders_only() {
    let shop = Shop::open().await;
    let own = shop
        .place("own", |body| body["storeId"] = json!("store-s1"))
        .await
        .expect(201);
    let other = shop
        .place("other", |body| body["storeId"] = json!("store-s2"))
        .await
        .expect(201);
    let cancel = |order: &Value| {
        let path = format!("/v1/orders/{}/cancel", order["orderId"].as_str().unwrap());
        let central = &shop.central;
        async move {
            let headers = [("x-api-key", SHOP), ("idempotency-key", "x")];
            central.post(&path, &headers, &json!({})).await
        }
    };
    cancel(&other).await.expect(403);
    cancel(&own).await.expect(200);
    let named = json!({
        "customerId": "ann", "storeId": "store-s2", "items": [{"productId": "A", "quantity": 1}],
    });
    let headers = [("x-api-key", SHOP), ("idempotency-key", "y")];
    shop.central
        .post("/v1/orders", &headers, &named)
        .await
        .expect(403);
    shop.central.stop().await;
}

#[tokio::test]
async fn a_refund_goes_as_far_as_the_charge() {
    let shop = Shop::open().await;
    let order = shop.place("k", |_| {}).await.expect(201);
    let payment = order["payment"]["paymentId"].as_str().unwrap();
    let path = format!("/v1/payments/{payment}/refund");
    let refund = |amount: Value, key: &str| {
        let body = json!({"amount": amount, "idempotencyKey": key});
        let (central, path) = (&shop.central, &path);
        async move { central.post(path, &[], &body).await }
    };
    refund(json!(5.01), "a").await.expect(409);
    refund(json!(0), "b").await.expect(400);
    refund(json!(2), "c").await.expect(200);
    shop.at_rest().await;
    let replayed = refund(json!(2), "c").await;
    assert_eq!(replayed.header("idempotent-replayed"), "true");
    assert_eq!(shop.charged(&order), (1, 500, 200));
    refund(Value::Null, "d").await.expect(200);
    shop.at_rest().await;
    assert_eq!(shop.charged(&order), (1, 500, 500));
    assert_eq!(
        refund(Value::Null, "e").await.expect(409)["code"],
        "not_refundable"
    );
    let headers = [("x-api-key", SHOP), ("idempotency-key", "f")];
    shop.central
        .post(&path, &headers, &json!({}))
        .await
        .expect(403);
    let nobody = "/v1/payments/pay-nobody/refund";
    let headers = [("idempotency-key", "g")];
    let unknown = shop.central.post(nobody, &headers, &json!({})).await;
    assert_eq!(unknown.expect(404)["code"], "payment_not_found");
    shop.central.stop().await;
}
