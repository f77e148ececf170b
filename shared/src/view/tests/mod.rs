//! What readers may rely on.

use std::sync::Arc;

use super::*;
use crate::clock::Timestamp;
use crate::domain::ids::ProductId;
use crate::domain::inventory::state::Entry;
use crate::domain::inventory::{Details, Product, Stock};
use crate::limits;
use crate::wire::product::Encoder;

mod concurrency;
mod model;
mod requests;

pub(super) fn product(id: &str, on_hand: i64) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        details: Arc::new(Details {
            name: id.into(),
            ..Details::default()
        }),
        stock: Stock {
            on_hand,
            ..Stock::default()
        },
        version: 1,
        last_updated: Timestamp::from_millis(0),
    }
}

pub(super) fn published(id: &str, on_hand: i64) -> Published {
    Published {
        product: product(id, on_hand),
        live: true,
    }
}

fn put(product: &Product) -> Change<'_> {
    Change {
        product,
        live: true,
        record: 0,
    }
}

pub(super) fn named(id: &str, name: &str) -> Product {
    let mut product = product(id, 1);
    Arc::make_mut(&mut product.details).name = name.into();
    product
}

fn catalogue_of(products: &[Product]) -> Catalogue {
    let catalogue = Catalogue::new();
    catalogue.publish(products.iter().map(put), Head::default());
    catalogue
}

fn request(pairs: &[(&str, &str)]) -> ListRequest {
    ListRequest::from_pairs(pairs.iter().copied()).unwrap()
}

fn ids(page: &Page) -> Vec<&str> {
    page.products.iter().map(|row| row.id.as_str()).collect()
}

#[test]
fn a_published_product_is_there_and_a_deleted_one_is_not() {
    let catalogue = Catalogue::new();
    let mut product = product("A", 5);
    let head = Head {
        orders: 0,
        offset: 1,
        digest: product.digest(),
        seq: 7,
    };
    catalogue.publish([put(&product)], head);
    assert_eq!(catalogue.get("A").unwrap().product, product);
    assert_eq!(catalogue.get("a"), None);
    assert_eq!((catalogue.head(), catalogue.len()), (head, 1));

    product.version = 2;
    let deletion = Change {
        product: &product,
        live: false,
        record: 9,
    };
    catalogue.publish([deletion], Head::default());
    assert_eq!(catalogue.get("A"), None);
    assert_eq!(catalogue.len(), 0);
    assert_eq!(catalogue.list(&request(&[])).total, 0);
    let tombstone = catalogue.published("A").unwrap();
    assert_eq!((tombstone.version, tombstone.live), (2, false));
    assert_eq!(catalogue.last_record("A"), Some(9));
}

#[test]
fn a_refusal_moves_the_record_and_nothing_else() {
    let catalogue = catalogue_of(&[product("A", 5)]);
    let before = catalogue.get("A").unwrap();
    catalogue.touch("A", 12);
    catalogue.touch("B", 13);
    assert_eq!(catalogue.last_record("A"), Some(12));
    assert_eq!(catalogue.last_record("B"), None);
    assert!(Arc::ptr_eq(&before, &catalogue.get("A").unwrap()));
}

#[test]
fn folding_keeps_the_digest() {
    let catalogue = Catalogue::new();
    let (one, mut two) = (product("A", 5), product("B", 6));
    let head = catalogue.fold([put(&one), put(&two), put(&one)], 3, 3);
    assert_eq!(head.digest, one.digest().wrapping_add(two.digest()));
    two.version = 2;
    let deletion = Change {
        product: &two,
        live: false,
        record: 0,
    };
    assert_eq!(catalogue.fold([deletion], 4, 4).digest, one.digest());
    assert_eq!(catalogue.head().offset, 4);
}

#[test]
fn a_loaded_catalogue_is_the_one_that_was_walked() {
    let catalogue = catalogue_of(&[product("A", 5), product("B", 6)]);
    catalogue.touch("A", 3);
    let gone = product("B", 6);
    let deletion = Change {
        product: &gone,
        live: false,
        record: 4,
    };
    catalogue.publish([deletion], Head::default());
    let mut entries = Vec::new();
    catalogue.for_each(|published, last_record| {
        entries.push(Entry {
            product: published.product.clone(),
            live: published.live,
            last_record,
        });
    });
    assert_eq!(entries.len(), catalogue.known());
    let head = Head {
        orders: 0,
        offset: 3,
        digest: 1,
        seq: 4,
    };
    let copy = Catalogue::load(entries, head);
    assert_eq!((copy.len(), copy.known(), copy.head()), (1, 2, head));
    assert_eq!(copy.get("A"), catalogue.get("A"));
    assert_eq!(copy.get("B"), None);
    assert_eq!(copy.last_record("A"), Some(3));
    assert_eq!(copy.last_record("B"), Some(4));
    assert_eq!(copy.collect(), catalogue.collect());
}

#[test]
fn search_knows_no_case_in_any_script() {
    let catalogue = catalogue_of(&[
        named("1", "Grüner TEE"),
        named("2", "ΟΔΟΣ ΣΟΦΙΑΣ"),
        named("3", "İstanbul"),
        named("4", "抹茶 Pulver"),
        named("5", "Чай ЧЁРНЫЙ"),
        named("6", "oδός"),
    ]);
    let cases: &[(&str, &[&str])] = &[
        ("GRÜN", &["1"]),
        ("grü", &["1"]),
        ("ü", &["1"]),
        ("tee", &["1"]),
        ("οδος", &["2"]),
        ("Σ", &["2", "6"]),
        ("ς", &["2", "6"]),
        ("οδοσ σ", &["2"]),
        ("i̇st", &["3"]),
        ("İST", &["3"]),
        ("抹", &["4"]),
        ("茶 p", &["4"]),
        ("чёр", &["5"]),
        ("ЧАЙ чёрный", &["5"]),
        // Across two fields there is no text: id "1" is not followed by a name.
        ("1gr", &[]),
        ("\u{0}", &[]),
        ("ee", &["1"]),
    ];
    for (text, expected) in cases {
        let page = catalogue.list(&request(&[("q", text)]));
        assert_eq!(ids(&page), *expected, "{text:?}");
        assert_eq!(page.total, expected.len());
    }
}

#[test]
fn search_looks_into_every_field_that_names_a_product() {
    let mut product = named("ID-1", "Name");
    let details = Arc::make_mut(&mut product.details);
    details.sku = Some("Sku-22".into());
    details.barcode = Some("40063813".into());
    details.category = Some("Garden".into());
    details.description = Some("hidden".into());
    let catalogue = catalogue_of(&[product]);
    for (text, found) in [
        ("d-1", 1),
        ("NAM", 1),
        ("u-22", 1),
        ("6381", 1),
        ("garden", 1),
        ("hidden", 0),
        ("garden2", 0),
    ] {
        assert_eq!(
            catalogue.list(&request(&[("q", text)])).total,
            found,
            "{text}"
        );
    }
}

#[test]
fn the_body_is_the_contract() {
    let catalogue = catalogue_of(&[product("A", 5), product("B", 0)]);
    let mut page = catalogue.list(&request(&[("limit", "1")]));
    page.head.offset = 42;
    page.next = Some("cursor".to_owned());
    let mut body = Vec::new();
    page.encode(&mut Encoder::new(), Some(0xabc), &mut body);
    insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"products":[{"productId":"A","name":"A","price":0,"onHand":5,"reserved":0,"allotted":0,"available":5,"version":1,"lastUpdated":"1970-01-01T00:00:00.000Z"}],"pagination":{"offset":0,"limit":1,"total_count":2,"has_more":true},"nextCursor":"cursor","gen":"0000000000000abc","asOfOffset":42}"#);

    let mut body = Vec::new();
    Page {
        products: Vec::new(),
        next: None,
        ..page
    }
    .encode(&mut Encoder::new(), None, &mut body);
    insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"products":[],"pagination":{"offset":0,"limit":1,"total_count":2,"has_more":false},"asOfOffset":42}"#);
}
