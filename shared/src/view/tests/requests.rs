//! Query strings and cursors from outside.

use super::super::query::Start;
use super::*;

/// The faults of a query string as `name: issue`.
fn faults(pairs: &[(&str, &str)]) -> Vec<String> {
    let faults = ListRequest::from_pairs(pairs.iter().copied()).unwrap_err();
    faults
        .into_iter()
        .map(|fault| format!("{}: {}", fault.field, fault.issue))
        .collect()
}

#[test]
fn nothing_asked_for_is_the_first_page_by_id() {
    assert_eq!(request(&[]), ListRequest::default());
    let empty = [
        "q", "barcode", "category", "inStock", "sort", "order", "limit", "offset",
    ];
    assert_eq!(
        request(&empty.map(|name| (name, ""))),
        ListRequest::default()
    );
    assert_eq!(request(&[("page", "3")]), ListRequest::default());
}

#[test]
fn sizes_above_the_most_are_capped() {
    assert_eq!(request(&[("limit", "500")]).limit, 200);
    assert_eq!(request(&[("limit", "99999999999999999999999")]).limit, 200);
    assert_eq!(request(&[("limit", "5000"), ("cursor", "")]).limit, 1_000);
    assert_eq!(request(&[("limit", "1")]).limit, 1);
}

#[test]
fn every_fault_is_named() {
    let long = "x".repeat(257);
    assert_eq!(
        faults(&[
            ("limit", "abc"),
            ("offset", "-1"),
            ("inStock", "yes"),
            ("lowStock", "TRUE"),
            ("sort", "colour"),
            ("order", "up"),
            ("q", &long),
            ("category", "a"),
            ("category", "b"),
            ("cursor", "!"),
        ]),
        [
            "query.category: is given more than once",
            "query.q: must be at most 256 bytes",
            "query.inStock: must be one of: true, false",
            "query.lowStock: must be one of: true, false",
            "query.sort: must be one of: productId, name, available, price",
            "query.order: must be one of: asc, desc",
            "query.offset: must be a whole number of at least 0",
            "query.limit: must be a whole number of at least 1",
            "query.cursor: is not a cursor that this service gave",
        ]
    );
    for bad in ["0", "+1", " 1", "1.0", "1e3", "0x1", "१"] {
        assert_eq!(faults(&[("limit", bad)]).len(), 1, "{bad:?}");
    }
    assert_eq!(
        faults(&[("offset", "0"), ("cursor", "")]),
        ["query.cursor: cannot be given together with offset"]
    );
}

fn cursor_text(pairs: &[(&str, &str)]) -> String {
    let query = request(pairs).query;
    Cursor::after(&query, 17, &named("ID-1", "Änne")).encode()
}

#[test]
fn a_cursor_survives_the_wire() {
    for sort in Sort::ALL {
        for order in ["asc", "desc"] {
            let pairs = [("q", "Ä"), ("sort", sort.as_str()), ("order", order)];
            let query = request(&pairs).query;
            let cursor = Cursor::after(&query, 17, &named("ID-1", "Änne"));
            assert_eq!(Cursor::parse(&cursor.encode()), Ok(cursor.clone()));
            assert_eq!(cursor.check(&query), Ok(()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            assert!(cursor.encode().bytes().all(plain));
        }
    }
}

#[test]
fn the_longest_name_id_and_filters_fit_into_a_cursor() {
    // The letter whose lower case has more bytes than itself.
    let product = named(
        &"x".repeat(limits::ID_BYTES),
        &"İ".repeat(limits::NAME_BYTES / 2),
    );
    let label = "x".repeat(limits::LABEL_BYTES);
    let text = "İ".repeat(limits::QUERY_BYTES / 2);
    let pairs = [
        ("sort", "name"),
        ("q", &text),
        ("barcode", &label),
        ("category", &label),
    ];
    let query = request(&pairs).query;
    let cursor = Cursor::after(&query, usize::MAX, &product);
    assert_eq!(Cursor::parse(&cursor.encode()), Ok(cursor));
}

#[test]
fn a_cursor_brings_its_order_and_filters_which_may_be_repeated_but_not_changed() {
    let list = [
        ("sort", "name"),
        ("order", "desc"),
        ("q", "Ä"),
        ("category", "A"),
        ("inStock", "false"),
    ];
    let text = cursor_text(&list);
    let asked = request(&list).query;
    let repeated: &[&[(&str, &str)]] = &[
        &[],
        &list,
        &[("category", "A")],
        // Without regard to case it is the same text.
        &[("q", "ä"), ("inStock", "false")],
        // What a form sends that was not filled in.
        &[("category", ""), ("barcode", "")],
    ];
    for same in repeated {
        let mut pairs = same.to_vec();
        pairs.push(("cursor", &text));
        let request = request(&pairs);
        assert_eq!(request.query, asked, "{same:?}");
        assert!(matches!(request.start, Start::After(_)));
    }

    let others: &[&[(&str, &str)]] = &[
        &[("category", "B")],
        &[("q", "x")],
        &[("sort", "price")],
        &[("order", "asc")],
        &[("inStock", "true")],
        &[("lowStock", "false")],
        &[("shortfall", "true")],
        &[("category", "A"), ("barcode", "A")],
    ];
    for other in others {
        let mut pairs = other.to_vec();
        pairs.push(("cursor", &text));
        assert_eq!(
            faults(&pairs),
            ["query.cursor: belongs to a list with other filters or another order"],
            "{other:?}"
        );
    }
}

#[test]
fn a_cursor_that_was_cut_or_changed_is_refused() {
    let text = cursor_text(&[("sort", "name")]);
    for length in 0..text.len() {
        assert_eq!(
            Cursor::parse(&text[..length]),
            Err(InvalidCursor::Malformed)
        );
    }
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert_eq!(Cursor::parse(&other), Err(InvalidCursor::Malformed), "{at}");
    }
    for bad in ["", "ä", "AAAA", &text.repeat(100)] {
        assert_eq!(Cursor::parse(bad), Err(InvalidCursor::Malformed));
    }
}
