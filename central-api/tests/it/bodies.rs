//! What a body may be, for every call: the parts of section 1 of the contract that are about single
//! values and about JSON. Each refusal is checked to have changed nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{KEY, fields, sorted_fields};
use crate::requests::{SALE, UPDATES, raw, refused, shop, text};

#[tokio::test]
async fn money_has_at_most_two_decimals_and_is_exact() {
    let central = shop().await;
    let create = |number: usize, price: &str| {
        let body = format!(r#"{{"productId":"P-{number}","name":"n","price":{price}}}"#);
        text(central.admin(Method::POST, "/v1/products"), body)
    };
    let good = [
        ("0", "0"),
        ("99.99", "99.99"),
        ("0.01", "0.01"),
        ("0.1", "0.1"),
        ("7.10", "7.1"),
        ("3.00", "3"),
        ("4503599627.37", "4503599627.37"),
        ("10000000000", "10000000000"),
        // An exponent is another way to write the same number.
        ("1e3", "1000"),
        ("1999e-2", "19.99"),
    ];
    for (number, (sent, kept)) in good.into_iter().enumerate() {
        let answer = create(number, sent).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{sent}");
        let product = central.get(&format!("/v1/products/P-{number}")).await;
        let product = product.text().await.unwrap();
        assert!(
            product.contains(&format!("\"price\":{kept},")),
            "{sent}: {product}"
        );
    }
    for price in [
        "99.999",
        "0.001",
        "-1",
        "-0.01",
        "1e-3",
        "\"9.99\"",
        "\"\"",
        "null",
        "true",
        "[]",
        "{}",
        "10000000000.01",
        "99999999999999999999",
    ] {
        let problem = refused(&central, create(900, price), price).await;
        assert_eq!(fields(&problem), ["price"], "{price}: {problem}");
        if price == "null" {
            // In seed 003 it stands for none.
            continue;
        }
        let body = format!(
            r#"{{"products":[{{"productId":"B","name":"n","available":1,"price":{price}}}]}}"#
        );
        let request = central.admin(Method::POST, "/v1/admin/products/create");
        let problem = refused(&central, text(request, body), price).await;
        assert_eq!(
            fields(&problem),
            ["products[0].price"],
            "{price}: {problem}"
        );
    }
    for price in [
        "1e400", "NaN", "Infinity", "+1", ".5", "1.", "01", "0x1", "1,5",
    ] {
        let problem = refused(&central, create(900, price), price).await;
        assert_eq!(problem["code"], "bad_request", "{price}: {problem}");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_in_new_bodies_and_named() {
    let central = shop().await;
    let version = json!({"price": 2, "version": null, "colour": "red"});
    for (method, path, body, field) in [
        (
            Method::POST,
            "/v1/products",
            json!({"productId": "N", "name": "n", "price": 1, "colour": "red"}),
            "colour",
        ),
        (Method::PUT, "/v1/products/A", version, "colour"),
        (
            Method::POST,
            "/v1/inventory/counts",
            json!({"countedBy": "Ada", "colour": "red", "lines": [{"productId": "A", "counted": 5}]}),
            "colour",
        ),
        (
            Method::POST,
            "/v1/inventory/counts",
            json!({"countedBy": "Ada", "lines": [{"productId": "A", "counted": 5, "colour": 1}]}),
            "lines[0].colour",
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": [{"productId": "A", "quantity": 5}], "colour": "red"}),
            "colour",
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": [{"productId": "A", "quantity": 5, "colour": "red"}]}),
            "items[0].colour",
        ),
        (
            Method::PUT,
            "/v1/stores/store-s1/heartbeat",
            json!({"appliedOffset": 0, "gen": "0000000000000000", "colour": "red"}),
            "colour",
        ),
    ] {
        let request = central.admin(method, path).header("idempotency-key", "k");
        let problem = refused(&central, request.json(&body), path).await;
        assert!(fields(&problem).contains(&field), "{path}: {problem}");
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_in_batches_of_seed_003() {
    let central = shop().await;
    let line = json!({"productId": "A", "delta": -1, "idempotencyKey": "l1", "till": 4});
    let body = json!({"storeId": "store-s1", "updates": [line], "shift": {"late": true}});
    let answer: Value = central.post(UPDATES, &body).await.json().await.unwrap();
    assert_eq!(answer["summary"]["succeeded"], 1, "{answer}");
}

#[tokio::test]
async fn every_fault_of_a_line_stands_in_its_row() {
    let central = shop().await;
    let body = json!({"storeId": "store-s1", "updates": [
        {"productId": "a/b", "delta": 0},
        {"productId": "A", "delta": -1, "idempotencyKey": "good"},
        {"productId": "none", "delta": -1, "idempotencyKey": "unknown"},
    ]});
    let answer = central.post(UPDATES, &body).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    let rows = &answer["results"];
    assert_eq!(
        sorted_fields(&rows[0]),
        ["delta", "idempotencyKey", "productId"],
        "{rows}"
    );
    let sentence = rows[0]["errorMessage"].as_str().unwrap();
    assert!(sentence.starts_with("productId"), "{rows}");
    // What the ledger says of a line is one thing, and said in words already.
    for row in [&rows[1], &rows[2]] {
        assert_eq!(row.get("details"), None, "{rows}");
    }
}

/// The text `SALE` in another shape, which is not JSON of one object in UTF-8.
fn spoilt() -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = |text: &str| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let mut invalid = SALE.as_bytes().to_vec();
    let at = SALE.find("store-s1").unwrap();
    invalid[at] = 0xff;
    let mut overlong = SALE.as_bytes().to_vec();
    overlong.splice(at..=at, [0xc1, 0xb3]);
    vec![
        ("UTF-16", utf16(SALE)),
        ("an invalid byte", invalid),
        ("an overlong sequence", overlong),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", SALE.as_bytes()].concat(),
        ),
        (
            "a lone surrogate",
            SALE.replace("store-s1", "\\ud800").into(),
        ),
        ("two values", format!("{SALE}{SALE}").into()),
        ("two lines", format!("{SALE}\n{SALE}\n").into()),
        ("a tail", format!("{SALE}x").into()),
        ("a NUL behind it", format!("{SALE}\0").into()),
        ("a trailing comma", SALE.replace('}', ",}").into()),
        ("a comment", format!("/* sale */{SALE}").into()),
        ("single quotes", SALE.replace('"', "'").into()),
        ("an open end", SALE.trim_end_matches('}').into()),
        (
            "a bare newline in a text",
            SALE.replace("store-s1", "store\n1").into(),
        ),
        ("only depth", "[".repeat(500_000).into()),
        ("a list", format!("[{SALE}]").into()),
        ("a text", serde_json::to_vec(SALE).unwrap()),
    ]
}

#[tokio::test]
async fn what_is_not_one_json_object_is_refused() {
    let central = shop().await;
    for (of, body) in spoilt() {
        let request = text(central.request(Method::POST, UPDATES, KEY), body.clone());
        let problem = refused(&central, request, of).await;
        assert_eq!(problem["code"], "bad_request", "{of}: {problem}");
        assert!(problem.to_string().len() < 2_000, "{of}: a short answer");
        // The other parser, of the bodies that are no hot path.
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, of).await;
        assert_eq!(problem["code"], "bad_request", "{of}: {problem}");
    }
    // Space around it is nothing, and the sale was spoilt by nothing else.
    let request = central.request(Method::POST, UPDATES, KEY);
    let answer = text(request, format!(" \r\n\t{SALE} \n"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn depth_costs_nothing_and_ends_nothing() {
    let central = shop().await;
    for (number, (sign, end)) in [("[", "]"), ("{\"a\":", "}")].into_iter().enumerate() {
        let deep = sign.repeat(100_000) + "1" + &end.repeat(100_000);
        // Seed 003 passes over members that it does not know, whatever is in them.
        let body = SALE.replace("{\"storeId\"", &format!("{{\"x\":{deep},\"storeId\""));
        let body = body.replace("\"k\"", &format!("\"k{number}\""));
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        assert_eq!(request.send().await.unwrap().status(), 200);
        // Where a member is known, or none may be unknown, it is refused.
        let body = SALE.replace("-1", &deep);
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        refused(&central, request, "a deep delta").await;
        let body = format!("{{\"productId\":\"N\",\"name\":\"n\",\"price\":{deep}}}");
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, "a deep price").await;
        assert_eq!(problem["code"], "bad_request");
    }
    // The process lives.
    assert_eq!(central.get("/health").await.status(), 200);
}

#[tokio::test]
async fn a_member_that_is_there_twice_is_refused() {
    let central = shop().await;
    for (from, to) in [
        ("\"delta\":-1", "\"delta\":-1,\"delta\":-2"),
        ("\"delta\":-1", "\"delta\":-1,\"delta\":-1"),
        ("\"delta\":-1", "\"delta\":-1,\"d\\u0065lta\":-2"),
        (
            "\"productId\":\"A\"",
            "\"productId\":\"A\",\"productId\":\"B\"",
        ),
    ] {
        let body = SALE.replace(from, to);
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        let problem = refused(&central, request, to).await;
        assert_eq!(problem["code"], "bad_request", "{to}: {problem}");
    }
    for body in [
        r#"{"productId":"N","name":"n","price":1,"price":2}"#,
        r#"{"productId":"N","productId":"N","name":"n","price":1}"#,
    ] {
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, body).await;
        assert_eq!(problem["code"], "bad_request", "{body}: {problem}");
    }
    let body = r#"{"countedBy":"Ada","lines":[{"productId":"A","counted":1,"counted":2}]}"#;
    let request = central.admin(Method::POST, "/v1/inventory/counts");
    let request = request.header("idempotency-key", "c");
    let problem = refused(&central, text(request, body), body).await;
    assert_eq!(problem["code"], "bad_request", "{body}: {problem}");
}

#[tokio::test]
async fn a_chunked_body_is_bounded_though_it_says_no_length() {
    let central = shop().await;
    let before = central.head().await;
    let head = format!(
        "POST {UPDATES} HTTP/1.1\r\nhost: c\r\nx-api-key: {KEY}\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunks = |count: usize| {
        let mut request = head.clone().into_bytes();
        for _ in 0..count {
            request.extend_from_slice(b"10000\r\n");
            request.extend_from_slice(&[b' '; 0x10000]);
            request.extend_from_slice(b"\r\n");
        }
        let sale = format!("{:x}\r\n{SALE}\r\n0\r\n\r\n", SALE.len());
        request.extend_from_slice(sale.as_bytes());
        request
    };
    let (status, body) = raw(&central, &chunks(16)).await;
    assert_eq!(status, 413, "{body}");
    assert_eq!(central.head().await, before);
    // The control: as many bytes as are allowed.
    let (status, body) = raw(&central, &chunks(15)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn every_fault_of_a_check_and_of_a_report_is_named() {
    let central = shop().await;
    let check = json!({"shop": 1, "items": [{"productId": "a/b", "quantity": 0, "colour": "red"}, {"quantity": 1.5}, 7]});
    let report = json!({"appliedOffset": -1, "gen": "x", "breaker": 4, "startedAt": "today"});
    for (method, path, body, named) in [
        (
            Method::POST,
            "/v1/inventory/check",
            check,
            &[
                "shop",
                "items[2]",
                "items[0].colour",
                "items[0].productId",
                "items[0].quantity",
                "items[1].productId",
                "items[1].quantity",
            ][..],
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": []}),
            &["items"],
        ),
        (
            Method::PUT,
            "/v1/stores/a%20b/heartbeat",
            report,
            &[
                "path.id",
                "appliedOffset",
                "breaker",
                "digest",
                "gen",
                "startedAt",
                "version",
            ],
        ),
    ] {
        let problem = refused(&central, central.admin(method, path).json(&body), path).await;
        let mut named = named.to_vec();
        named.sort_unstable();
        assert_eq!(sorted_fields(&problem), named, "{problem}");
    }
}

#[tokio::test]
async fn a_body_of_nothing_but_faults_gets_a_short_answer() {
    let central = shop().await;
    let mut unknown = json!({"productId": "N", "name": "n"});
    for number in 0..20_000 {
        unknown[format!("x{number}")] = 0.into();
    }
    let request = central.admin(Method::POST, "/v1/products").json(&unknown);
    let problem = refused(&central, request, "unknown fields").await;
    let details = problem["details"].as_array().unwrap();
    assert_eq!(details.len(), 101);
    assert_eq!(
        details[100]["issue"],
        "19900 more are not fields of this call"
    );
    let nameless = json!({"productIds": vec![""; 300_000]});
    let request = central.admin(Method::DELETE, "/v1/admin/products/delete");
    let problem = refused(&central, request.json(&nameless), "ids").await;
    assert_eq!(fields(&problem), ["productIds"]);
}
