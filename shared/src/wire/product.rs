//! A product on the wire.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::domain::ids::ProductId;
use crate::domain::inventory::{Details, Product, Stock};
use crate::domain::money::Money;

/// Writes JSON by hand; keeps the text of the last timestamp, since thousands of events in a row
/// share one.
#[derive(Debug, Default)]
pub struct Encoder {
    at: Option<(Timestamp, String)>,
}

impl Encoder {
    /// A fresh encoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `at` as a JSON string.
    pub fn timestamp(&mut self, out: &mut Vec<u8>, at: Timestamp) {
        match &self.at {
            Some((last, text)) if *last == at => out.extend_from_slice(text.as_bytes()),
            Some(_) | None => {
                let text = format!("\"{at}\"");
                out.extend_from_slice(text.as_bytes());
                self.at = Some((at, text));
            }
        }
    }

    /// Appends `product` as a JSON object.
    pub fn product(&mut self, out: &mut Vec<u8>, product: &Product) {
        let Details {
            name,
            description,
            category,
            sku,
            barcode,
            price,
            low_stock_threshold,
        } = &*product.details;
        out.extend_from_slice(b"{\"productId\":");
        string(out, product.id.as_str());
        out.extend_from_slice(b",\"name\":");
        string(out, name);
        optional_string(out, b",\"description\":", description.as_deref());
        optional_string(out, b",\"category\":", category.as_deref());
        optional_string(out, b",\"sku\":", sku.as_deref());
        optional_string(out, b",\"barcode\":", barcode.as_deref());
        out.extend_from_slice(b",\"price\":");
        money(out, *price);
        if let Some(threshold) = low_stock_threshold {
            out.extend_from_slice(b",\"lowStockThreshold\":");
            integer(out, *threshold);
        }
        let Stock {
            on_hand,
            reserved,
            allotted,
        } = product.stock;
        out.extend_from_slice(b",\"onHand\":");
        integer(out, on_hand);
        out.extend_from_slice(b",\"reserved\":");
        integer(out, reserved);
        out.extend_from_slice(b",\"allotted\":");
        integer(out, allotted);
        out.extend_from_slice(b",\"available\":");
        integer(out, product.available());
        out.extend_from_slice(b",\"version\":");
        integer(out, product.version);
        out.extend_from_slice(b",\"lastUpdated\":");
        self.timestamp(out, product.last_updated);
        out.push(b'}');
    }
}

/// Appends `text` as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    // Ids, keys and most names need no escape; copying them is several times quicker. Every byte is
    // looked at, found or not, so that many are at once.
    let escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if !text.bytes().fold(false, |any, byte| any | escaped(byte)) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing text to a Vec cannot fail");
    }
}

/// Appends `,"name":"text"` if there is a text.
pub fn optional_string(out: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        out.extend_from_slice(name);
        string(out, text);
    }
}

/// Appends an integer.
pub fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an amount as a JSON number with at most two decimals.
pub fn money(out: &mut Vec<u8>, amount: Money) {
    let minor = amount.minor();
    integer(out, minor.wrapping_div(100));
    let (tens, ones) = (
        minor.wrapping_rem(100).wrapping_div(10),
        minor.wrapping_rem(10),
    );
    if tens != 0 || ones != 0 {
        out.push(b'.');
        integer(out, tens);
        if ones != 0 {
            integer(out, ones);
        }
    }
}

/// A product as it was written by [`Encoder::product`]. `available` is derived and not read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProductText<'a> {
    product_id: ProductId,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    sku: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    barcode: Option<Cow<'a, str>>,
    price: Money,
    #[serde(default)]
    low_stock_threshold: Option<i64>,
    on_hand: i64,
    reserved: i64,
    allotted: i64,
    version: u64,
    last_updated: Timestamp,
}

impl<'de> Deserialize<'de> for Product {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn boxed(text: Option<Cow<'_, str>>) -> Option<Box<str>> {
            text.map(|text| text.into_owned().into_boxed_str())
        }
        let text = ProductText::deserialize(deserializer)?;
        Ok(Self {
            id: text.product_id,
            details: Arc::new(Details {
                name: text.name.into_owned().into_boxed_str(),
                description: boxed(text.description),
                category: text.category.map(|text| Arc::from(&*text)),
                sku: boxed(text.sku),
                barcode: boxed(text.barcode),
                price: text.price,
                low_stock_threshold: text.low_stock_threshold,
            }),
            stock: Stock {
                on_hand: text.on_hand,
                reserved: text.reserved,
                allotted: text.allotted,
            },
            version: text.version,
            last_updated: text.last_updated,
        })
    }
}

impl serde::Serialize for Product {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeMap};
        // One definition of the shape: the encoder's. Serde gets its fields one by one.
        let mut bytes = Vec::with_capacity(384);
        Encoder::new().product(&mut bytes, self);
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&bytes).map_err(S::Error::custom)?;
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in &fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Product {
        Product {
            id: ProductId::parse("PROD-001").unwrap(),
            details: Arc::new(Details {
                name: "Wireless \"Headphones\"\n\u{1F3A7}".into(),
                description: Some("Ünïcode \\ and \u{7}".into()),
                category: Some("Audio".into()),
                sku: Some("WH-1".into()),
                barcode: Some("4006381333931".into()),
                price: Money::from_minor(9_905).unwrap(),
                low_stock_threshold: Some(3),
            }),
            stock: Stock {
                on_hand: 10,
                reserved: 2,
                allotted: 1,
            },
            version: 7,
            last_updated: Timestamp::from_millis(1_768_473_000_123),
        }
    }

    #[test]
    fn a_product_survives_the_wire() {
        let mut bytes = Vec::new();
        Encoder::new().product(&mut bytes, &full());
        assert_eq!(serde_json::from_slice::<Product>(&bytes).unwrap(), full());
        assert_eq!(
            serde_json::to_value(full()).unwrap(),
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        );
    }

    #[test]
    fn the_shape_is_the_contract() {
        let mut bytes = Vec::new();
        Encoder::new().product(&mut bytes, &full());
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"productId":"PROD-001","name":"Wireless \"Headphones\"\n🎧","description":"Ünïcode \\ and \u0007","category":"Audio","sku":"WH-1","barcode":"4006381333931","price":99.05,"lowStockThreshold":3,"onHand":10,"reserved":2,"allotted":1,"available":7,"version":7,"lastUpdated":"2026-01-15T10:30:00.123Z"}"#);
    }

    #[test]
    fn amounts_are_written_as_they_are_displayed() {
        for minor in [0, 1, 7, 10, 99, 100, 101, 110, 14_950, 999_999_999_999] {
            let amount = Money::from_minor(minor).unwrap();
            let mut bytes = Vec::new();
            money(&mut bytes, amount);
            assert_eq!(String::from_utf8(bytes).unwrap(), amount.to_string());
        }
    }
}
