use shared::domain::inventory::Reason;

use super::*;

/// Parses a body under this key in the header.
fn parsed(body: &[u8], key: Option<&str>) -> Result<UpdateBody, Problem> {
    let key = key.map(|key| IdempotencyKey::parse(key).unwrap());
    parse(body, &Ok(key), &Ok(None))
}

fn fields(result: Result<UpdateBody, Problem>) -> (ProblemCode, Vec<String>) {
    let problem = result.unwrap_err();
    (
        problem.code,
        problem
            .details
            .into_iter()
            .map(|detail| detail.field)
            .collect(),
    )
}

fn check(body: &str, code: ProblemCode, expected: &[&str]) {
    let (found, names) = fields(parsed(body.as_bytes(), None));
    assert_eq!(
        (found, names),
        (code, expected.iter().map(ToString::to_string).collect()),
        "{body}"
    );
}

#[test]
fn a_sale_needs_three_fields() {
    let body = br#"{"productId":"A","delta":-2,"idempotencyKey":"k"}"#;
    let UpdateKind::Single { line, key } = parsed(body, None).unwrap().kind else {
        panic!()
    };
    assert_eq!(
        (line.delta, line.reason, line.expected_version),
        (-2, Reason::Sale, None)
    );
    assert_eq!(key.as_str(), "k");
}

#[test]
fn unknown_fields_are_ignored() {
    let body = br#"{"productId":"A","delta":-2,"idempotencyKey":"k","till":{"n":[1]}}"#;
    assert!(parsed(body, None).is_ok());
}

#[test]
fn the_header_may_bring_the_key_but_not_another_one() {
    let body = br#"{"productId":"A","delta":-2}"#;
    assert!(parsed(body, Some("h")).is_ok());
    let body = br#"{"productId":"A","delta":-2,"idempotencyKey":"k"}"#;
    assert!(parsed(body, Some("k")).is_ok());
    assert_eq!(
        fields(parsed(body, Some("h"))),
        (
            ProblemCode::InvalidRequest,
            vec!["idempotencyKey".to_owned()]
        )
    );
}

#[test]
fn every_fault_of_a_single_movement_is_named() {
    use ProblemCode as Code;
    for (body, code, names) in [
        (
            r#"{}"#,
            Code::MissingProductId,
            &["productId", "idempotencyKey", "delta"][..],
        ),
        (
            r#"{"productId":"A","idempotencyKey":"k"}"#,
            Code::InvalidDelta,
            &["delta"],
        ),
        (
            r#"{"productId":"A","delta":0,"idempotencyKey":"k"}"#,
            Code::InvalidDelta,
            &["delta"],
        ),
        (
            r#"{"productId":"A","delta":-1}"#,
            Code::IdempotencyKeyRequired,
            &["idempotencyKey"],
        ),
        (
            r#"{"productId":"A","delta":5,"idempotencyKey":"k"}"#,
            Code::InvalidRequest,
            &["reason"],
        ),
        (
            r#"{"productId":"a/b","delta":-1000000001,"idempotencyKey":"k k","reason":"sale"}"#,
            Code::InvalidRequest,
            &["productId", "idempotencyKey", "delta"],
        ),
        (
            r#"{"productId":"A","delta":-1,"idempotencyKey":"k","reason":"received"}"#,
            Code::InvalidRequest,
            &["reason"],
        ),
        (
            r#"{"productId":"A","delta":-1,"idempotencyKey":"k","reason":"stolen"}"#,
            Code::InvalidRequest,
            &["reason"],
        ),
        (
            r#"{"storeId":"s 1","productId":"A","delta":-1,"idempotencyKey":"k"}"#,
            Code::InvalidRequest,
            &["storeId"],
        ),
    ] {
        check(body, code, names);
    }
}

#[test]
fn numbers_are_integers_and_nothing_else() {
    for delta in [
        "\"-1\"",
        "-1.0",
        "-1e0",
        "-1.5",
        "true",
        "[]",
        "9223372036854775808",
        "-0",
    ] {
        let body = format!(r#"{{"productId":"A","delta":{delta},"idempotencyKey":"k"}}"#);
        check(&body, ProblemCode::BadRequest, &["delta"]);
    }
    for version in ["-1", "1.0", "\"1\""] {
        let body =
            format!(r#"{{"productId":"A","delta":-1,"version":{version},"idempotencyKey":"k"}}"#);
        check(&body, ProblemCode::BadRequest, &["version"]);
    }
}

#[test]
fn every_wrong_type_is_named_at_once() {
    check(
        r#"{"storeId":1,"productId":2,"delta":"x","idempotencyKey":[]}"#,
        ProblemCode::BadRequest,
        &["storeId", "productId", "idempotencyKey", "delta"],
    );
    check(
        r#"{"updates":[{"productId":1},7,{"delta":1.5}]}"#,
        ProblemCode::BadRequest,
        &[
            "updates[0].productId",
            "updates[1]",
            "updates[2].delta",
            "updates[0].idempotencyKey",
            "updates[0].delta",
            "updates[2].productId",
            "updates[2].idempotencyKey",
        ],
    );
    // No line is known to need anything where there are no lines.
    check(
        r#"{"storeId":"s 1","updates":7}"#,
        ProblemCode::BadRequest,
        &["updates", "storeId"],
    );
    // A struct's fields in order are not an object.
    check(
        r#"{"updates":[["A",-1,null,"k"]]}"#,
        ProblemCode::BadRequest,
        &["updates[0]"],
    );
    for body in ["{nope", "", "[]", "7", "{\"productId\":\"A\""] {
        check(body, ProblemCode::BadRequest, &["body"]);
    }
}

#[test]
fn a_wrong_type_hides_no_broken_rule_and_is_not_named_as_one() {
    for (body, names) in [
        (
            r#"{"productId":"a/b","delta":"x"}"#,
            &["delta", "productId", "idempotencyKey"][..],
        ),
        (
            r#"{"productId":"A","delta":5,"reason":7,"idempotencyKey":"k"}"#,
            &["reason"],
        ),
        (
            r#"{"productId":"A","delta":true,"reason":"stolen","idempotencyKey":"k"}"#,
            &["delta", "reason"],
        ),
        (
            r#"{"atomicity":"all","updates":[{"delta":1.5,"idempotencyKey":"a"}]}"#,
            &[
                "updates[0].delta",
                "updates[0].idempotencyKey",
                "updates[0].productId",
                "idempotencyKey",
            ],
        ),
        // Whether its lines need keys depends on what nobody can read.
        (
            r#"{"atomicity":7,"updates":[{"productId":"A","delta":0}]}"#,
            &["atomicity", "updates[0].delta"],
        ),
        // Which of the two is meant, nobody knows, so neither is checked.
        (r#"{"productId":"a/b","delta":"x","delta":-1}"#, &["body"]),
    ] {
        check(body, ProblemCode::BadRequest, names);
    }
    let lines = vec![r#"{"delta":"x"}"#; limits::BATCH_LINES + 1].join(",");
    let body = format!(r#"{{"storeId":"s 1","updates":[{lines}]}}"#);
    let (_, names) = fields(parsed(body.as_bytes(), None));
    assert_eq!(names.len(), limits::BATCH_LINES + 2);
    assert_eq!(names[limits::BATCH_LINES..], ["storeId", "updates"]);
}

#[test]
fn a_batch_that_is_refused_anyway_is_told_what_is_wrong_with_its_lines() {
    check(
        r#"{"storeId":"s 1","updates":[{"productId":"A","delta":0},{"productId":"A","delta":-1,"idempotencyKey":"k"}]}"#,
        ProblemCode::InvalidRequest,
        &["storeId", "updates[0].idempotencyKey", "updates[0].delta"],
    );
}

#[test]
fn a_line_of_a_seed_003_batch_stands_for_itself() {
    let body = br#"{"updates":[{"productId":"A","delta":-1,"idempotencyKey":"a"},{"delta":-1},
        {"productId":"B","delta":-1},{"productId":"C","delta":0,"idempotencyKey":"c"}]}"#;
    let UpdateKind::PerItem(lines) = parsed(body, None).unwrap().kind else {
        panic!()
    };
    let types: Vec<_> = lines
        .iter()
        .map(|line| line.as_ref().map_err(|fault| fault.error_type).err())
        .collect();
    let expected = [
        None,
        Some("missing_product_id"),
        Some("invalid_request"),
        Some("invalid_delta"),
    ];
    assert_eq!(types, expected);
}

#[test]
fn an_all_or_nothing_batch_has_one_key_and_no_bad_line() {
    let body =
        br#"{"atomicity":"all","idempotencyKey":"k","updates":[{"productId":"A","delta":-1}]}"#;
    assert!(matches!(
        parsed(body, None).unwrap().kind,
        UpdateKind::All { .. }
    ));
    check(
        r#"{"atomicity":"all","updates":[{"productId":"A","delta":-1,"idempotencyKey":"a"},{"delta":0}]}"#,
        ProblemCode::InvalidRequest,
        &[
            "updates[0].idempotencyKey",
            "updates[1].productId",
            "updates[1].delta",
            "idempotencyKey",
        ],
    );
    check(
        r#"{"atomicity":"all","updates":[{"productId":"A","delta":-1}]}"#,
        ProblemCode::IdempotencyKeyRequired,
        &["idempotencyKey"],
    );
    check(
        r#"{"atomicity":"some","updates":[{"productId":"A","delta":-1}]}"#,
        ProblemCode::InvalidRequest,
        &["atomicity"],
    );
}
