//! "Is there enough?", asked of one product and of several: advisory, but by the figure that a sale is
//! held to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{KEY, TestCentral, sorted_fields};
use crate::requests::{problem, refused};

/// Ten of A on the shelf, of which four are promised; two of B; C is deleted.
async fn shop() -> TestCentral {
    let central = TestCentral::start().await;
    for (id, units) in [("A", 10), ("B", 2), ("C", 5)] {
        central.create(id, units).await;
    }
    let hold =
        json!({"owner": "ann", "lines": [{"productId": "A", "quantity": 4}], "ttlSeconds": 900});
    let hold = central
        .request(Method::POST, "/v1/reservations", KEY)
        .header("idempotency-key", "hold")
        .json(&hold);
    assert_eq!(hold.send().await.unwrap().status(), 201);
    let delete = central.admin(Method::DELETE, "/v1/products/C");
    let delete = delete.header("if-match", "*").send().await.unwrap();
    assert_eq!(delete.status(), 204);
    central
}

#[tokio::test]
async fn one_product_is_available_up_to_its_last_free_unit() {
    let central = shop().await;
    for (query, requested, is_available) in [
        ("?quantity=5", 5, true),
        ("?quantity=6", 6, true),
        // On the shelf, but promised.
        ("?quantity=7", 7, false),
        ("?quantity=1000000000", 1_000_000_000, false),
        ("", 1, true),
    ] {
        let path = format!("/v1/inventory/A/availability{query}");
        let mut answer = central.get_json(&path).await;
        let offset = answer.as_object_mut().unwrap().remove("asOfOffset");
        assert_eq!(offset, Some(json!(central.head().await)), "{query}");
        let expected = json!({"productId": "A", "available": 6, "requested": requested, "isAvailable": is_available});
        assert_eq!(answer, expected, "{query}");
    }
    for gone in ["C", "none"] {
        let answer = central
            .get(&format!("/v1/inventory/{gone}/availability"))
            .await;
        let told = problem(answer, 404, "product_not_found", gone).await;
        assert_eq!(told["productId"], gone);
    }
    for (query, named) in [
        ("quantity=0", &["query.quantity"][..]),
        ("quantity=-1", &["query.quantity"]),
        ("quantity=1.5", &["query.quantity"]),
        ("quantity=1000000001", &["query.quantity"]),
    ] {
        let path = format!("/v1/inventory/A/availability?{query}");
        let request = central.request(Method::GET, &path, KEY);
        let told = refused(&central, request, query).await;
        assert_eq!(sorted_fields(&told), named, "{query}: {told}");
    }
    // A bad id and a bad quantity are told together.
    let path = "/v1/inventory/a%20b/availability?quantity=0";
    let told = refused(&central, central.request(Method::GET, path, KEY), path).await;
    assert_eq!(
        sorted_fields(&told),
        ["path.productId", "query.quantity"],
        "{told}"
    );
}

#[tokio::test]
async fn several_products_are_available_if_each_is_for_all_its_lines() {
    let central = shop().await;
    // Each line: product, how many, how many are free, whether all its lines together can be had.
    for (of, lines) in [
        ("enough", &[("A", 5, 6, true), ("B", 1, 2, true)][..]),
        ("exactly", &[("A", 6, 6, true), ("B", 2, 2, true)]),
        ("one too many", &[("A", 7, 6, false), ("B", 2, 2, true)]),
        (
            "two lines that fit",
            &[("A", 3, 6, true), ("A", 3, 6, true)],
        ),
        (
            "two lines that fit alone, not together",
            &[("A", 3, 6, false), ("B", 1, 2, true), ("A", 4, 6, false)],
        ),
        ("unknown", &[("A", 1, 6, true), ("none", 1, 0, false)]),
        ("deleted", &[("C", 1, 0, false)]),
    ] {
        let asked = lines
            .iter()
            .map(|(id, units, ..)| json!({"productId": id, "quantity": units}));
        let asked: Vec<Value> = asked.collect();
        let request = central.request(Method::POST, "/v1/inventory/check", KEY);
        let answer = request.json(&json!({"items": asked})).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{of}");
        let answer: Value = answer.json().await.unwrap();
        let items = lines.iter().map(|(id, units, free, in_stock)| {
            json!({"productId": id, "requested": units, "available": free, "inStock": in_stock})
        });
        let items: Vec<Value> = items.collect();
        let available = lines.iter().all(|(.., in_stock)| *in_stock);
        assert_eq!(
            answer,
            json!({"available": available, "items": items}),
            "{of}"
        );
    }
}
