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
