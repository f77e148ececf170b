//! One product: what it is, what there is of it, and which version this is.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::domain::ids::ProductId;
use crate::domain::money::Money;

/// The catalogue's part of a product; changes rarely and is shared between versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name shown to people.
    pub name: Box<str>,
    /// A paragraph about it.
    pub description: Option<Box<str>>,
    /// Category, shared between the products that have it.
    pub category: Option<Arc<str>>,
    /// The merchant's own number.
    pub sku: Option<Box<str>>,
    /// What a scanner reads (GTIN/EAN/UPC).
    pub barcode: Option<Box<str>>,
    /// Price of one unit.
    pub price: Money,
    /// `available` at or below this counts as low stock.
    pub low_stock_threshold: Option<i64>,
}

/// Units of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Units in the house.
    pub on_hand: i64,
    /// Units promised to orders.
    pub reserved: i64,
    /// Units promised to shops.
    pub allotted: i64,
}

impl Stock {
    /// Units that may still be promised; negative is a shortfall.
    #[must_use]
    pub const fn available(&self) -> i64 {
        // Each term is within limits::STOCK_UNITS, so this cannot overflow.
        self.on_hand
            .saturating_sub(self.reserved)
            .saturating_sub(self.allotted)
    }
}

/// One product at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// What it is.
    pub details: Arc<Details>,
    /// What there is of it.
    pub stock: Stock,
    /// +1 with each change; never goes back, not even over a deletion.
    pub version: u64,
    /// When this version came to be.
    pub last_updated: Timestamp,
}

impl Product {
    /// Units that may still be promised; negative is a shortfall.
    #[must_use]
    pub const fn available(&self) -> i64 {
        self.stock.available()
    }

    /// This product's share of the catalogue digest.
    ///
    /// FNV-1a-64 over `productId`, 0x00, `version` in decimal, 0x00, `available` in decimal.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut version = itoa::Buffer::new();
        let mut available = itoa::Buffer::new();
        let mut hash = Fnv1a::new();
        hash.write(self.id.as_str().as_bytes());
        hash.write(&[0]);
        hash.write(version.format(self.version).as_bytes());
        hash.write(&[0]);
        hash.write(available.format(self.available()).as_bytes());
        hash.finish()
    }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo; <http://www.isthe.com/chongo/tech/comp/fnv/>).
#[derive(Clone, Copy, Debug)]
pub struct Fnv1a(u64);

impl Fnv1a {
    /// The offset basis.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in `bytes`.
    pub const fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            self.0 = (self.0 ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
            rest = tail;
        }
    }

    /// The hash of everything written.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_matches_the_published_vectors() {
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325_u64),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut fnv = Fnv1a::new();
            fnv.write(text.as_bytes());
            assert_eq!(fnv.finish(), hash, "{text:?}");
        }
    }
}
