//! The sample catalogue is data that people try the system with, so it must be data that the system
//! takes without a complaint: every row within the limits, every number unique, every barcode one
//! that a scanner would accept.
//!
//! Barcodes start with 2, the range for numbers used inside a company, so none of them belongs to
//! a real product.

use std::collections::HashSet;

use serde::Deserialize;
use shared::domain::ids::check_id;
use shared::domain::money::Money;
use shared::limits;

const SAMPLE: &str = include_str!("../catalogue/sample.csv");
const HEADER: &str =
    "productId,name,description,category,sku,barcode,price,lowStockThreshold,onHand";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    product_id: String,
    name: String,
    description: String,
    category: String,
    sku: String,
    barcode: String,
    price: String,
    low_stock_threshold: Option<i64>,
    on_hand: i64,
}

fn rows() -> Vec<Row> {
    csv::Reader::from_reader(SAMPLE.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the sample is a CSV file with the fields of a product")
}

/// The check digit of the first twelve digits of an EAN-13.
fn check_digit(digits: &[u32]) -> u32 {
    let weighted = digits.iter().zip([1, 3].iter().cycle());
    let sum: u32 = weighted
        .take(12)
        .map(|(digit, weight)| digit * weight)
        .sum();
    (10 - sum % 10) % 10
}

#[test]
fn the_header_names_every_field_of_a_product() {
    assert_eq!(SAMPLE.lines().next(), Some(HEADER));
    assert!(rows().len() >= 400);
}

#[test]
fn ids_names_skus_and_barcodes_are_unique() {
    let mut seen = HashSet::new();
    for row in rows() {
        for (field, value) in [
            ("productId", row.product_id),
            ("name", row.name),
            ("sku", row.sku),
            ("barcode", row.barcode),
        ] {
            assert!(
                seen.insert((field, value.clone())),
                "{field} {value} is there twice"
            );
        }
    }
}

#[test]
fn fields_are_within_limits() {
    for row in rows() {
        let id = &row.product_id;
        assert_eq!(check_id(id), Ok(()), "{id}");
        assert!((1..=limits::NAME_BYTES).contains(&row.name.len()), "{id}");
        assert!(row.description.len() <= limits::DESCRIPTION_BYTES, "{id}");
        for label in [&row.category, &row.sku, &row.barcode] {
            assert!((1..=limits::LABEL_BYTES).contains(&label.len()), "{id}");
        }
        let price = Money::parse(&row.price).expect("a price with two decimals");
        assert!(price > Money::ZERO, "{id}");
        assert!((0..=limits::STOCK_UNITS).contains(&row.on_hand), "{id}");
        assert!(
            row.low_stock_threshold.is_none_or(|units| units > 0),
            "{id}"
        );
    }
}

#[test]
fn barcodes_have_valid_check_digits() {
    let published = [4, 0, 0, 6, 3, 8, 1, 3, 3, 3, 9, 3];
    assert_eq!(check_digit(&published), 1);
    for row in rows() {
        let digits: Option<Vec<u32>> = row.barcode.chars().map(|c| c.to_digit(10)).collect();
        let digits = digits.expect("a barcode is digits");
        assert_eq!(digits.len(), 13, "{}", row.barcode);
        assert_eq!(digits[0], 2, "{} is in the in-house range", row.barcode);
        assert_eq!(digits[12], check_digit(&digits), "{}", row.barcode);
    }
}

#[test]
fn stock_levels_are_varied() {
    let rows = rows();
    let low = |row: &&Row| {
        row.low_stock_threshold
            .is_some_and(|units| row.on_hand <= units)
    };
    assert!(rows.iter().filter(|row| row.on_hand == 0).count() > 3);
    assert!(rows.iter().filter(low).count() > 20);
    assert!(rows.iter().filter(|row| row.on_hand > 100).count() > 50);
}
