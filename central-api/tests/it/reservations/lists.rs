//! Lists of reservations: filters, pages, and cursors that bring their filters.

use serde_json::{Value, json};

use super::{hold, lines_of, post, post_as, stocked};
use crate::harness::sorted_fields;
use crate::served::SHOP;

#[tokio::test]
async fn lists_are_filtered_and_paged_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    for number in 0..6 {
        let lines: &[_] = if number % 2 == 0 {
            &[("A", 1)]
        } else {
            &[("B", 1)]
        };
        hold(&central, &format!("r{number}"), lines).await;
    }
    let path = "/v1/reservations/r2/release";
    post(&central, path, "x", &json!({})).await.expect(200);
    let lines = lines_of(&[("C", 1)]);
    let body = json!({"reservationId": "shop", "owner": "bob", "lines": lines});
    post_as(&central, SHOP, "/v1/reservations", "s", &body)
        .await
        .expect(201);

    let ids = async |query: &str| -> (Vec<String>, Value) {
        let page = central
            .get(&format!("/v1/reservations?{query}"))
            .await
            .expect(200);
        let head = central.ledger.published().head().offset;
        assert_eq!(page["asOfOffset"], head);
        assert_eq!(page["gen"].as_str().unwrap().len(), 16);
        let rows = page["reservations"].as_array().unwrap().iter();
        let ids = rows.map(|row| row["reservationId"].as_str().unwrap().to_owned());
        (ids.collect(), page["nextCursor"].clone())
    };
    let all = ["shop", "r5", "r4", "r3", "r2", "r1", "r0"];
    assert_eq!(ids("").await.0, all);
    for (query, expected) in [
        ("productId=A", vec!["r4", "r2", "r0"]),
        ("productId=A&state=active", vec!["r4", "r0"]),
        ("state=released", vec!["r2"]),
        ("owner=bob", vec!["shop"]),
        ("storeId=store-s1", vec!["shop"]),
        ("owner=ann&state=expired", vec![]),
    ] {
        let (found, next) = ids(query).await;
        assert_eq!(
            (found, next),
            (
                expected.iter().map(|id| (*id).to_owned()).collect(),
                Value::Null
            ),
            "{query}"
        );
    }
    for filter in ["", "productId=A&state=active", "state=active&owner=ann"] {
        let whole = ids(filter).await.0;
        let (mut found, mut next) = ids(&format!("limit=1&{filter}")).await;
        // The cursor brings its filters, and what comes meanwhile shifts nothing.
        hold(&central, &format!("zz-{}", found[0]), &[("B", 1)]).await;
        while let Some(cursor) = next.as_str() {
            let (more, after) = ids(&format!("limit=1&cursor={cursor}")).await;
            assert_eq!(more.len(), 1);
            found.extend(more);
            next = after;
        }
        assert_eq!(found, whole, "{filter}");
    }
    central.stop().await;
}

#[tokio::test]
async fn a_page_by_offset_says_where_it_stands_and_leads_on_by_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    for number in 0..5 {
        hold(&central, &format!("r{number}"), &[("A", 1)]).await;
    }
    let path = "/v1/reservations/r2/release";
    post(&central, path, "x", &json!({})).await.expect(200);
    let get = async |query: &str| {
        let path = format!("/v1/reservations?{query}");
        central.get(&path).await.expect(200)
    };
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["reservations"].as_array().unwrap().iter();
        rows.map(|row| row["reservationId"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected, total, has_more) in [
        ("offset=0", vec!["r4", "r3", "r2", "r1", "r0"], 5, false),
        ("offset=0&limit=2", vec!["r4", "r3"], 5, true),
        ("offset=3&limit=2", vec!["r1", "r0"], 5, false),
        ("offset=1&limit=2&state=active", vec!["r3", "r1"], 4, true),
        (
            "offset=2&state=active&productId=A",
            vec!["r1", "r0"],
            4,
            false,
        ),
        ("offset=0&owner=nobody", vec![], 0, false),
        ("offset=9", vec![], 5, false),
    ] {
        let page = get(query).await;
        assert_eq!(ids(&page), expected, "{query}");
        let at = &page["pagination"];
        assert_eq!(at["total_count"], total, "{query}");
        assert_eq!(at["has_more"], has_more, "{query}");
        assert_eq!(page.get("nextCursor").is_some(), has_more, "{query}");
    }
    assert_eq!(get("offset=1&limit=500").await["pagination"]["limit"], 200);
    assert!(get("limit=2").await.get("pagination").is_none());
    // What comes meanwhile shifts an offset, and not a cursor.
    let page = get("offset=1&limit=2&state=active").await;
    hold(&central, "new", &[("A", 1)]).await;
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = get(&format!("cursor={cursor}")).await;
    assert_eq!(ids(&rest), ["r0"]);
    let both = format!("/v1/reservations?offset=0&cursor={cursor}");
    let wrong = central.get(&both).await.expect(400);
    assert_eq!(sorted_fields(&wrong), ["query.cursor"]);
    let wrong = central.get("/v1/reservations?offset=-1").await.expect(400);
    assert_eq!(sorted_fields(&wrong), ["query.offset"]);
    central.stop().await;
}

#[tokio::test]
async fn a_cursor_is_not_for_another_list() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir).await;
    for id in ["one", "two"] {
        hold(&central, id, &[("A", 1)]).await;
    }
    let page = central.get("/v1/reservations?limit=1&owner=ann").await;
    let page = page.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let query = format!("cursor={cursor}&owner=bob&state=no&limit=0&page=2");
    let wrong = central
        .get(&format!("/v1/reservations?{query}"))
        .await
        .expect(400);
    let named = ["query.cursor", "query.limit", "query.page", "query.state"];
    assert_eq!(sorted_fields(&wrong), named);
    let wrong = central.get("/v1/reservations?cursor=e30").await.expect(400);
    assert_eq!(sorted_fields(&wrong), ["query.cursor"]);
    central.stop().await;
}
