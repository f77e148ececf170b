//! Idempotency keys: where one comes from, what it stands for, and what a repeat is told. Section 1 of
//! the contract.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, KEY, READ_KEY, TestCentral, fields, header, sorted_fields};
use crate::requests::{SALE, UPDATES, bad, problem, refused, sale, shop, text, units, with};

#[tokio::test]
async fn the_key_is_in_the_header_or_in_the_body_and_needed() {
    let central = shop().await;
    let mut bare = sale("k");
    bare.as_object_mut().unwrap().remove("idempotencyKey");
    bad(&central, bare.clone(), 400, "idempotency_key_required").await;
    let send = |key: &'static str, body: &Value| {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("idempotency-key", key).json(body).send()
    };
    let first = send("\"h1\"", &bare).await.unwrap();
    assert_eq!(first.status(), 200);
    let again = send("h1", &bare).await.unwrap();
    assert_eq!(
        header(&again, "idempotent-replayed"),
        Some("true"),
        "quoted is bare"
    );
    assert_eq!(send("same", &sale("same")).await.unwrap().status(), 200);
    let before = central.head().await;
    let both = send("one", &sale("other")).await.unwrap();
    problem(both, 400, "invalid_request", "two keys").await;
    assert_eq!(central.head().await, before);
}

async fn keyed(central: &TestCentral, keys: &[&str], body: &str) -> Response {
    let mut request = text(central.request(Method::POST, UPDATES, KEY), body.to_owned());
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_key_in_the_header_is_one_good_key() {
    let central = shop().await;
    let bare = SALE.replace(",\"idempotencyKey\":\"k\"", "");
    let long = "x".repeat(128);
    let before = central.head().await;
    for keys in [
        &["two words"][..],
        &["a/b"],
        &["\"\""],
        &["one", "other"],
        &[&format!("{long}x")],
    ] {
        let answer = keyed(&central, keys, &bare).await;
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(status, 400, "{keys:?}: {problem}");
    }
    let empty = keyed(&central, &[""], &bare).await;
    assert_eq!(empty.status(), 400);
    assert_eq!(central.head().await, before);
    for key in [&long, "constructor", "7"] {
        let answer = keyed(&central, &[key], &bare).await;
        assert_eq!(answer.status(), 200, "{key}");
        assert_eq!(header(&answer, "idempotent-replayed"), None, "{key}");
    }
}

#[tokio::test]
async fn an_atomic_batch_has_one_key_and_its_lines_have_none() {
    let central = shop().await;
    let line = json!({"productId": "A", "delta": -1});
    let mut keyed_line = line.clone();
    keyed_line["idempotencyKey"] = "l".into();
    let all = json!({"storeId": "store-s1", "atomicity": "all", "updates": [line, keyed_line]});
    let request = central
        .request(Method::POST, UPDATES, KEY)
        .header("idempotency-key", "k");
    let problem = refused(&central, request.json(&all), "a line's key").await;
    assert_eq!(fields(&problem), ["updates[1].idempotencyKey"], "{problem}");
    let bare = json!({"storeId": "store-s1", "atomicity": "all", "updates": [line]});
    let request = central.request(Method::POST, UPDATES, KEY).json(&bare);
    let problem = refused(&central, request, "no key").await;
    assert_eq!(problem["code"], "idempotency_key_required", "{problem}");
    let send = || {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("idempotency-key", "k").json(&bare).send()
    };
    assert_eq!(header(&send().await.unwrap(), "idempotent-replayed"), None);
    assert_eq!(
        header(&send().await.unwrap(), "idempotent-replayed"),
        Some("true")
    );
}

/// What is malformed is not remembered, so the key is still good for the order as it was meant. What
/// the rules have refused is remembered: an order that is changed because of it is another order.
#[tokio::test]
async fn an_order_that_was_mended_is_taken_under_the_key_of_the_malformed_one() {
    let central = shop().await;
    let place = async |key: &str, quantity: Value| -> (u16, bool, Value) {
        let body =
            json!({"customerId": "ann", "items": [{"productId": "A", "quantity": quantity}]});
        let request = central.request(Method::POST, "/v1/orders", KEY).json(&body);
        let answer = request.header("idempotency-key", key).send().await.unwrap();
        let replayed = header(&answer, "idempotent-replayed") == Some("true");
        (
            answer.status().as_u16(),
            replayed,
            answer.json().await.unwrap(),
        )
    };
    for malformed in [json!(-5), json!("1"), json!(1.5)] {
        let (status, _, problem) = place("mended", malformed).await;
        assert_eq!((status, fields(&problem)), (400, vec!["items[0].quantity"]));
    }
    let (status, replayed, order) = place("mended", json!(1)).await;
    assert_eq!((status, replayed), (201, false), "{order}");

    let (status, _, refused) = place("refused", json!(1_000_000)).await;
    assert_eq!(
        (status, &refused["code"]),
        (409, &json!("insufficient_inventory"))
    );
    let (status, replayed, again) = place("refused", json!(1_000_000)).await;
    assert_eq!((status, replayed), (409, true), "{again}");
    assert_eq!(again["order"]["orderId"], refused["order"]["orderId"]);
    let (status, _, other) = place("refused", json!(1)).await;
    assert_eq!(
        (status, &other["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    let (status, replayed, order) = place("refused-mended", json!(1)).await;
    assert_eq!((status, replayed), (201, false), "{order}");
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_also_after_a_restart() {
    let mut central = shop().await;
    let refused = with(sale("short"), "delta", -1_000);
    let unknown = with(sale("unknown"), "productId", "nothing");
    let asked = [(sale("k"), 200), (refused, 409), (unknown, 404)];
    let mut first = Vec::new();
    for (body, status) in &asked {
        let answer = central.post(UPDATES, body).await;
        assert_eq!(answer.status(), *status);
        assert_eq!(header(&answer, "idempotent-replayed"), None);
        first.push(stable(answer.json().await.unwrap()));
    }
    // What made the refusals true has changed since; what was said stays said.
    central.create("nothing", 5).await;
    assert_eq!(central.update("A", 10_000, "more").await.status(), 200);
    for _ in 0..2 {
        let before = central.head().await;
        for ((body, status), first) in asked.iter().zip(&first) {
            let answer = central.post(UPDATES, body).await;
            assert_eq!(answer.status(), *status);
            assert_eq!(header(&answer, "idempotent-replayed"), Some("true"));
            assert_eq!(stable(answer.json().await.unwrap()), *first);
        }
        assert_eq!(central.head().await, before);
        central = central.restart().await;
    }
}

/// An answer without the name of the request that fetched it.
fn stable(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("requestId");
    body
}

#[tokio::test]
async fn a_key_stands_for_one_command_of_one_caller() {
    let central = shop().await;
    assert_eq!(central.post(UPDATES, &sale("k")).await.status(), 200);
    bad(
        &central,
        with(sale("k"), "delta", -2),
        422,
        "idempotency_key_reused",
    )
    .await;
    bad(
        &central,
        with(sale("k"), "productId", "B"),
        422,
        "idempotency_key_reused",
    )
    .await;
    // Another shop's key of the same name is another key.
    let other = with(sale("k"), "storeId", "store-s2");
    let answer = central.post(UPDATES, &other).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
    assert_eq!(units(&central, "A").await, 98);
}

#[tokio::test]
async fn one_key_at_the_same_time_is_one_effect_and_one_answer() {
    let central = shop().await;
    let body = sale("k");
    let all = (0..32).map(|_| central.post(UPDATES, &body));
    let answers = futures_util::future::join_all(all).await;
    let mut bodies = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), 200);
        bodies.push(answer.json::<Value>().await.unwrap());
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(units(&central, "A").await, 99);
}

#[tokio::test]
async fn a_version_conflict_is_not_remembered_and_says_where_things_stand() {
    let central = shop().await;
    let ahead = with(sale("k"), "version", 2);
    let problem = bad(&central, ahead.clone(), 409, "version_conflict").await;
    assert_eq!(
        (&problem["newVersion"], &problem["newQuantity"]),
        (&json!(1), &json!(100))
    );
    assert_eq!(central.update("A", -1, "other").await.status(), 200);
    // The very same request, now true.
    let answer = central.post(UPDATES, &ahead).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
}

#[tokio::test]
async fn a_key_is_not_used_up_by_what_was_never_decided() {
    let central = shop().await;
    let send = async |key: &str, body: String| {
        let request = text(central.request(Method::POST, UPDATES, key), body);
        request.send().await.unwrap()
    };
    for (key, body, status) in [
        (KEY, SALE.replace("-1", "\"x\""), 400),
        (KEY, SALE.replace("-1", "0"), 400),
        ("nonsense", SALE.to_owned(), 401),
        (READ_KEY, SALE.to_owned(), 403),
        (KEY, SALE.replace("-1", "-1,\"version\":9"), 409),
    ] {
        assert_eq!(send(key, body.clone()).await.status(), status, "{body}");
    }
    let answer = send(KEY, SALE.to_owned()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
    let again = send(KEY, SALE.to_owned()).await;
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn the_fingerprint_is_of_the_command_and_not_of_the_text() {
    let central = shop().await;
    assert_eq!(keyed(&central, &[], SALE).await.status(), 200);
    for same in [
        format!(" {SALE}\n"),
        SALE.replace("\"A\"", "\"\\u0041\""),
        SALE.replace("-1", "-1,\"reason\":\"sale\""),
        SALE.replace("-1", "-1,\"till\":7"),
        r#"{"idempotencyKey":"k","delta":-1,"productId":"A","storeId":"store-s1"}"#.to_owned(),
    ] {
        let answer = keyed(&central, &[], &same).await;
        assert_eq!(answer.status(), 200, "{same}");
        assert_eq!(
            header(&answer, "idempotent-replayed"),
            Some("true"),
            "{same}"
        );
    }
    for other in [
        SALE.replace("-1", "-2"),
        SALE.replace("-1", "-1,\"version\":2"),
        SALE.replace("-1", "-1,\"note\":\"n\""),
        SALE.replace("-1", "-1,\"reference\":\"r\""),
        SALE.replace("-1", "1,\"reason\":\"returned\""),
    ] {
        let answer = keyed(&central, &[], &other).await;
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(status, 422, "{other}: {problem}");
        assert_eq!(problem["code"], "idempotency_key_reused");
    }
    let request = central.request(Method::POST, UPDATES, ADMIN_KEY);
    let answer = text(request, SALE).send().await.unwrap();
    assert_eq!(answer.status(), 200, "unbound keys share the store's scope");
}

#[tokio::test]
async fn a_missing_key_is_named_beside_every_other_fault() {
    let central = shop().await;
    for (path, body, named) in [
        (
            "/v1/inventory/counts",
            json!({"lines": [{"productId": "A"}]}),
            &["countedBy", "idempotencyKey", "lines[0].counted"][..],
        ),
        (
            "/v1/inventory/counts",
            json!({"countedBy": "Ada", "lines": [{"productId": "A", "counted": 1}]}),
            &["idempotencyKey"],
        ),
        (
            "/v1/products",
            json!({"productId": "N", "onHand": 5}),
            &["idempotencyKey", "name"],
        ),
        (
            "/v1/products",
            json!({"productId": "N", "name": "n", "onHand": 5}),
            &["idempotencyKey"],
        ),
    ] {
        let request = central.admin(Method::POST, path).json(&body);
        let problem = refused(&central, request, path).await;
        assert_eq!(sorted_fields(&problem), named, "{problem}");
        let code = match named {
            [_] => "idempotency_key_required",
            _ => "invalid_request",
        };
        assert_eq!(problem["code"], code, "{problem}");
    }
}

#[tokio::test]
async fn a_key_in_the_body_of_an_admin_call_is_honoured() {
    let central = shop().await;
    let product = json!({"productId": "N", "name": "n", "available": 1, "price": 1});
    for (method, path, mut body) in [
        (
            Method::POST,
            "/v1/admin/products/create",
            json!({"products": [product]}),
        ),
        (
            Method::PUT,
            "/v1/admin/products/set",
            json!({"products": [{"productId": "N", "available": 7}]}),
        ),
        (
            Method::DELETE,
            "/v1/admin/products/delete",
            json!({"productIds": ["N"]}),
        ),
    ] {
        body["idempotencyKey"] = path.replace('/', "-").into();
        let mut answers = Vec::new();
        for replayed in [None, Some("true")] {
            let answer = central.admin_json(method.clone(), path, &body).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(header(&answer, "idempotent-replayed"), replayed, "{path}");
            answers.push(answer.json::<Value>().await.unwrap());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0]["results"][0]["success"], true, "{path}");
        let request = central.admin(method, path).json(&body);
        let request = request.header("idempotency-key", "another");
        let problem = refused(&central, request, path).await;
        assert_eq!(fields(&problem), ["idempotencyKey"], "{problem}");
    }
}
