use super::*;

fn uri(query: &str) -> Uri {
    format!("/list?{query}").parse().unwrap()
}

/// Field and issue of each fault.
fn faults(params: QueryParams<'_>) -> Vec<(String, String)> {
    let faults = params.into_faults().into_iter();
    faults.map(|fault| (fault.field, fault.issue)).collect()
}

fn fields(params: QueryParams<'_>) -> Vec<String> {
    faults(params).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn values_are_decoded_once() {
    let uri = uri("a=b%20c+d&e=%2B&f=%25%32%30&%67=1&h=%C3%A9&empty=&bare&=nameless&&i=x=y");
    let params = QueryParams::parse(&uri);
    let pairs: Vec<_> = params.pairs().collect();
    let expected = [
        ("a", "b c d"),
        ("e", "+"),
        ("f", "%20"),
        ("g", "1"),
        ("h", "é"),
        ("empty", ""),
        ("bare", ""),
        ("", "nameless"),
        ("i", "x=y"),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(params.raw("bare"), Some(""));
    assert_eq!(params.raw("none"), None);
    assert!(params.finish().is_ok());
    let none = "/list".parse::<Uri>().unwrap();
    assert_eq!(QueryParams::parse(&none).pairs().count(), 0);
}

#[test]
fn what_is_not_percent_encoded_text_is_a_fault() {
    for query in [
        "a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "a=%C3", "a=%c3%28", "a=%-1",
    ] {
        let uri = uri(query);
        let params = QueryParams::parse(&uri);
        assert_eq!(params.raw("a"), None, "{query}");
        let expected = (
            "query.a".to_owned(),
            "must be percent-encoded UTF-8".to_owned(),
        );
        assert_eq!(faults(params), [expected], "{query}");
    }
    let uri = uri("%ff=1&ok=1");
    let params = QueryParams::parse(&uri);
    assert_eq!(params.raw("ok"), Some("1"));
    assert_eq!(fields(params), ["query.?"]);
}

#[test]
fn a_parameter_that_is_there_twice_is_a_fault_and_the_first_one_counts() {
    let uri = uri("a=1&b=2&a=3&%61=4");
    let mut params = QueryParams::parse(&uri);
    assert_eq!(params.integer("a", 0..=9), Some(1));
    let twice = ("query.a".to_owned(), "must be given once".to_owned());
    assert_eq!(faults(params), [twice.clone(), twice]);
}

#[test]
fn whole_numbers_have_one_form_and_a_range() {
    for (text, exact, capped) in [
        ("5", Some(5), Some(5)),
        ("1", Some(1), Some(1)),
        ("10", Some(10), Some(10)),
        ("007", Some(7), Some(7)),
        ("11", None, Some(10)),
        ("9223372036854775807", None, Some(10)),
        ("9223372036854775808", None, Some(10)),
        ("99999999999999999999999999", None, Some(10)),
        ("0", None, None),
        ("-0", None, None),
        ("-1", None, None),
        ("-9223372036854775809", None, None),
        ("", None, None),
        ("-", None, None),
        ("%2B5", None, None),
        ("+5", None, None),
        ("5+", None, None),
        ("5.0", None, None),
        ("5e0", None, None),
        ("0x5", None, None),
        ("5_0", None, None),
        ("%D9%A5", None, None),
        ("abc", None, None),
        ("null", None, None),
    ] {
        let uri = uri(&format!("n={text}"));
        let mut params = QueryParams::parse(&uri);
        assert_eq!(params.integer("n", 1..=10), exact, "{text}");
        let found = faults(params);
        let issue = "must be a whole number from 1 to 10".to_owned();
        match exact {
            Some(_) => assert!(found.is_empty(), "{text}: {found:?}"),
            None => assert_eq!(found, [("query.n".to_owned(), issue)], "{text}"),
        }
        let mut params = QueryParams::parse(&uri);
        assert_eq!(params.integer_capped("n", 1..=10), capped, "{text}");
        assert_eq!(fields(params).is_empty(), capped.is_some(), "{text}");
    }
    let uri = uri("n=-7&m=9223372036854775807&k=9223372036854775808");
    let mut params = QueryParams::parse(&uri);
    assert_eq!(params.integer("n", -10..=10), Some(-7));
    assert_eq!(params.integer("m", 0..=i64::MAX), Some(i64::MAX));
    assert_eq!(params.integer("absent", 0..=1), None);
    assert_eq!(params.integer("k", 0..=i64::MAX), None);
    let issue = "must be a whole number from 0".to_owned();
    assert_eq!(faults(params), [("query.k".to_owned(), issue)]);
}

#[test]
fn words_texts_and_truth_are_taken_literally() {
    let uri = uri("yes=true&no=false&up=True&one=1&sort=name&bad=Name&q=ab&long=abc&none=");
    let mut params = QueryParams::parse(&uri);
    assert_eq!(params.boolean("yes"), Some(true));
    assert_eq!(params.boolean("no"), Some(false));
    assert_eq!(params.boolean("absent"), None);
    let sorts = [("name", 1), ("price", 2)];
    assert_eq!(params.choice("sort", &sorts), Some(1));
    assert_eq!(params.choice("absent", &sorts), None);
    assert_eq!(params.text("q", 2).as_deref(), Some("ab"));
    assert_eq!(params.text("none", 2), None);
    assert_eq!(params.text("absent", 2), None);
    let at = params.parsed::<std::net::Ipv4Addr>("absent");
    assert_eq!(at, None);
    // Nothing was wrong so far; all of this is.
    assert_eq!(params.boolean("up"), None);
    assert_eq!(params.boolean("one"), None);
    assert_eq!(params.boolean("none"), None);
    assert_eq!(params.choice("bad", &sorts), None);
    assert_eq!(params.text("long", 2), None);
    assert_eq!(params.parsed::<std::net::Ipv4Addr>("q"), None);
    let odd = |text: &str| Err::<(), _>(format!("{text} is odd"));
    assert_eq!(params.parsed_by("sort", odd), None);
    let found = faults(params);
    let issues: Vec<_> = found
        .iter()
        .map(|(field, issue)| (field.as_str(), issue.as_str()))
        .collect();
    assert_eq!(
        issues,
        [
            ("query.up", "must be true or false"),
            ("query.one", "must be true or false"),
            ("query.none", "must be true or false"),
            ("query.bad", "must be one of name, price"),
            ("query.long", "must be at most 2 bytes"),
            ("query.q", "invalid IPv4 address syntax"),
            ("query.sort", "name is odd"),
        ]
    );
}

#[test]
fn every_fault_is_in_one_answer() {
    let uri = uri("limit=x&offset=-1&inStock=maybe&colour=red&size=7&limit=2&a=%zz");
    let mut params = QueryParams::parse(&uri);
    params.integer_capped("limit", 1..=10);
    params.integer("offset", 0..=10);
    params.boolean("inStock");
    params.unknown_rejected(&["limit", "offset", "inStock"]);
    params.fault("both", "do not go together");
    let problem = params.finish().unwrap_err();
    assert_eq!(problem.code, ProblemCode::InvalidRequest);
    let named: Vec<_> = problem
        .details
        .iter()
        .map(|one| one.field.as_str())
        .collect();
    assert_eq!(
        named,
        [
            "query.limit",
            "query.a",
            "query.limit",
            "query.offset",
            "query.inStock",
            "query.colour",
            "query.size",
            "query.both",
        ]
    );
}

#[test]
fn a_long_name_is_not_echoed_without_bound() {
    let long = "é".repeat(1_000);
    let uri = uri(&format!("{}=1", long.replace('é', "%C3%A9")));
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&[]);
    let found = fields(params);
    assert_eq!(found, [format!("query.{}", "é".repeat(32))]);
}
