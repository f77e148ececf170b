//! What stands around a body: paths, request ids, traces, entity tags and preconditions. Section 1 of
//! the contract.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, KEY, TestCentral, fields, header, sorted_fields};
use crate::requests::{UPDATES, problem, raw, refused, shop, with};

async fn raw_get(central: &TestCentral, path: &str) -> (u16, String) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: c\r\nx-api-key: {KEY}\r\nconnection: close");
    raw(central, format!("{head}\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn ids_in_paths_are_decoded_once_and_never_walk() {
    let central = shop().await;
    let ids = [
        "constructor",
        "__proto__",
        "..",
        ".",
        "%2e%2e",
        "a%2fb",
        "a+b",
        "a;b",
        "a?b#c",
        "~",
    ];
    for id in ids {
        central.create(id, 7).await;
        // Every byte escaped is the id; nothing is decoded twice or resolved.
        let escaped = id.bytes().fold(String::new(), |mut path, byte| {
            write!(path, "%{byte:02x}").unwrap();
            path
        });
        for path in ["/v1/inventory/", "/v1/products/"] {
            let (status, body) = raw_get(&central, &format!("{path}{escaped}")).await;
            assert_eq!(status, 200, "{id}: {body}");
            let product: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(product["productId"], id);
        }
    }
    let long = "x".repeat(128);
    central.create(&long, 7).await;
    assert_eq!(
        raw_get(&central, &format!("/v1/inventory/{long}")).await.0,
        200
    );
    for path in [
        "a%2Fb",
        "a%20b",
        "a%00b",
        "%C3%A9",
        "%ff",
        &format!("{long}x"),
    ] {
        let (status, body) = raw_get(&central, &format!("/v1/inventory/{path}")).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    for path in [
        "/v1/inventory/../info",
        "/v1/inventory/A/../B",
        "//v1/inventory/A",
        "/v1/inventory/",
    ] {
        let (status, body) = raw_get(&central, path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let central = shop().await;
    let calls = [
        (Method::GET, "/v1/inventory/A", 200),
        (Method::GET, "/v1/inventory/none", 404),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, UPDATES, 405),
        (Method::POST, UPDATES, 400),
    ];
    for (method, path, status) in calls {
        let send = |id: Option<&'static str>| {
            let mut request = central.request(method.clone(), path, KEY);
            if method == Method::POST {
                request = request.header("content-type", "application/json").body("{");
            }
            if let Some(id) = id {
                request = request
                    .header("x-request-id", id)
                    .header("x-correlation-id", id);
            }
            request.send()
        };
        let kept = send(Some("till-7.42")).await.unwrap();
        assert_eq!(kept.status(), status, "{path}");
        assert_eq!(header(&kept, "x-request-id"), Some("till-7.42"), "{path}");
        assert_eq!(
            header(&kept, "x-correlation-id"),
            Some("till-7.42"),
            "{path}"
        );
        let replaced = send(Some("two words")).await.unwrap();
        let id = header(&replaced, "x-request-id").unwrap();
        assert!(id != "two words" && !id.is_empty(), "{path}: {id}");
        let made = send(None).await.unwrap();
        assert!(header(&made, "x-request-id").is_some_and(|made| !made.is_empty() && made != id));
    }
    let too_large = central
        .request(Method::POST, UPDATES, KEY)
        .header("content-type", "application/json")
        .body(vec![b' '; 2 << 20])
        .send()
        .await
        .unwrap();
    problem(too_large, 413, "body_too_large", "two megabytes").await;
}

#[tokio::test]
async fn a_trace_is_echoed_if_it_is_one() {
    let central = shop().await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let send = async |value: &str| {
        let request = central.request(Method::GET, "/v1/inventory/A", KEY);
        let answer = request.header("traceparent", value).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        header(&answer, "traceparent").map(str::to_owned)
    };
    assert_eq!(send(good).await.as_deref(), Some(good));
    for bad in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ] {
        assert_eq!(send(bad).await, None, "{bad}");
    }
}

#[tokio::test]
async fn a_version_is_an_etag() {
    let central = shop().await;
    let answer = central.get("/v1/inventory/A").await;
    assert_eq!(header(&answer, "etag"), Some("\"1\""));
    let request = |tag: &'static str| {
        let request = central.request(Method::GET, "/v1/inventory/A", KEY);
        request.header("if-none-match", tag).send()
    };
    assert_eq!(request("\"1\"").await.unwrap().status(), 304);
    assert_eq!(request("\"0\", \"1\"").await.unwrap().status(), 304);
    assert_eq!(central.update("A", -1, "k").await.status(), 200);
    let answer = request("\"1\"").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "etag"), Some("\"2\""));
}

#[tokio::test]
async fn if_none_match_compares_weakly_and_knows_the_star() {
    let central = shop().await;
    for path in ["/v1/inventory/A", "/v1/products/A"] {
        for (tag, status) in [
            ("\"1\"", 304),
            ("W/\"1\"", 304),
            ("*", 304),
            ("\"7\",W/\"1\"", 304),
            ("\"7\", \"1\"", 304),
            ("\"2\"", 200),
            ("1", 200),
            ("\"11\"", 200),
            ("", 200),
            ("nonsense", 200),
        ] {
            let request = central.request(Method::GET, path, KEY);
            let answer = request.header("if-none-match", tag).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {tag}");
            assert_eq!(header(&answer, "etag"), Some("\"1\""), "{path} {tag}");
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.is_empty(), status == 304);
        }
        let request = central.request(Method::GET, "/v1/inventory/none", KEY);
        let answer = request.header("if-none-match", "*").send().await.unwrap();
        assert_eq!(answer.status(), 404);
    }
}

#[tokio::test]
async fn a_version_in_a_header_is_a_precondition_of_one_movement() {
    let central = shop().await;
    let body = |key: &str| json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key});
    let ask = |if_match: &str, body: Value| {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("if-match", if_match).json(&body)
    };
    for if_match in ["\"1\"", "*"] {
        let answer = ask(if_match, body(if_match.trim_matches('"'))).send().await;
        assert_eq!(answer.unwrap().status(), 200, "{if_match}");
    }
    let twice = ask("\"3\"", body("twice")).header("if-match", "\"2\"");
    let problem = refused(&central, twice, "two versions").await;
    assert_eq!(fields(&problem), ["header.If-Match"], "{problem}");
    let late = ask("\"1\"", body("late")).send().await.unwrap();
    assert_eq!(late.status(), 412);
    let late: Value = late.json().await.unwrap();
    assert_eq!(late["code"], "precondition_failed", "{late}");
    assert_eq!(late["newVersion"], 3, "{late}");
    assert_eq!(late["newQuantity"], 98, "{late}");
    let mut both = body("both");
    both["version"] = json!(3);
    let line = json!({"productId": "A", "delta": -1, "idempotencyKey": "line"});
    for (if_match, body) in [
        ("\"2\"", both),
        ("3", body("bare")),
        ("\"3\"", json!({"storeId": "store-s1", "updates": [line]})),
    ] {
        let problem = refused(&central, ask(if_match, body), if_match).await;
        assert_eq!(fields(&problem), ["header.If-Match"], "{problem}");
    }
}

const KEY_FIELD: &str = "header.Idempotency-Key";
const IF_MATCH_FIELD: &str = "header.If-Match";

/// What is wrong with headers is told together with what is wrong with the body, and with a body that
/// cannot even be read.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn faults_of_headers_and_body_are_told_together() {
    let central = shop().await;
    let order = json!({
        "customerId": "ann", "storeId": "store-s1", "items": [{"productId": "A", "quantity": 1}],
    });
    let order = central
        .post("/v1/orders", &with(order, "idempotencyKey", "placed"))
        .await;
    let order: Value = order.json().await.unwrap();
    let order = |rest: &str| format!("/v1/orders/{}{rest}", order["orderId"].as_str().unwrap());
    let batch = json!({"storeId": 7, "atomicity": "some", "updates": [{"delta": 1.5}]});
    for (method, path, body, of_body, takes_condition) in [
        (
            Method::POST,
            UPDATES.to_owned(),
            json!({"productId": "A", "delta": 0}),
            vec!["delta"],
            true,
        ),
        (
            Method::POST,
            UPDATES.to_owned(),
            batch,
            vec![
                "storeId",
                "atomicity",
                "updates[0].delta",
                "updates[0].productId",
            ],
            true,
        ),
        (
            Method::POST,
            "/v1/inventory/counts".to_owned(),
            json!({"countedBy": "ann"}),
            vec!["lines"],
            false,
        ),
        (
            Method::POST,
            "/v1/reservations".to_owned(),
            json!({"owner": 7}),
            vec!["lines", "owner"],
            false,
        ),
        (
            Method::POST,
            "/v1/inventory/A/reserve".to_owned(),
            json!({"quantity": 0}),
            vec!["quantity"],
            false,
        ),
        (
            Method::POST,
            "/v1/inventory/A/release".to_owned(),
            json!({}),
            vec!["reservationId"],
            false,
        ),
        (
            Method::POST,
            "/v1/products".to_owned(),
            json!({"productId": "B", "onHand": 2}),
            vec!["name"],
            false,
        ),
        (
            Method::PUT,
            "/v1/products/A".to_owned(),
            json!({"onHand": 2}),
            vec!["onHand"],
            true,
        ),
        (
            Method::DELETE,
            "/v1/products/A?force=perhaps".to_owned(),
            Value::Null,
            vec!["query.force"],
            true,
        ),
        (
            Method::POST,
            "/v1/orders".to_owned(),
            json!({"customerId": "ann"}),
            vec!["items"],
            false,
        ),
        (
            Method::POST,
            order("/confirm"),
            json!({"version": "1"}),
            vec!["version"],
            true,
        ),
        (
            Method::POST,
            order("/complete"),
            json!({"colour": 1}),
            vec!["colour"],
            true,
        ),
        (
            Method::PUT,
            order("/status"),
            json!({"status": "gone"}),
            vec!["status"],
            true,
        ),
        (
            Method::PUT,
            order(""),
            json!({}),
            vec!["shippingAddress"],
            true,
        ),
        (
            Method::PUT,
            "/v1/admin/products/set".to_owned(),
            json!({"products": [{"productId": "A", "available": -1}]}),
            vec!["products[0].available"],
            false,
        ),
    ] {
        let ask = || {
            let request = central.request(method.clone(), &path, ADMIN_KEY);
            let request = request.header("idempotency-key", "two words");
            if takes_condition {
                request.header("if-match", "7")
            } else {
                request
            }
        };
        let expected = |of_body: &[&'static str]| {
            let mut expected = vec![KEY_FIELD];
            expected.extend(takes_condition.then_some(IF_MATCH_FIELD));
            expected.extend(of_body);
            expected.sort_unstable();
            expected
        };
        let (request, of_body) = if body.is_null() {
            (ask(), of_body)
        } else {
            let broken = ask().header("content-type", "application/json").body("[");
            let problem = refused(&central, broken, &path).await;
            assert_eq!(
                sorted_fields(&problem),
                expected(&["body"]),
                "{method} {path}: {problem}"
            );
            (ask().json(&body), of_body)
        };
        let problem = refused(&central, request, &path).await;
        assert_eq!(
            sorted_fields(&problem),
            expected(&of_body),
            "{method} {path}: {problem}"
        );
    }
    // A file is not looked at before its headers and its query are in order.
    let import = central.admin(Method::POST, "/v1/admin/products/import?mode=never");
    let import = import
        .header("content-type", "text/csv")
        .header("idempotency-key", "two words");
    let problem = refused(&central, import.body("x"), "import").await;
    assert_eq!(
        sorted_fields(&problem),
        [KEY_FIELD, "query.mode"],
        "{problem}"
    );
}
