//! Which products have a property: a bitmap of numbers for each.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use roaring::RoaringBitmap;

use super::{Products, product_at};
use crate::domain::inventory::Product;
use crate::view::query::{is_in_stock, is_low, is_short};

/// Which products have which property.
#[derive(Debug, Default)]
pub(super) struct Filters {
    pub(super) live: RoaringBitmap,
    pub(super) in_stock: RoaringBitmap,
    pub(super) low_stock: RoaringBitmap,
    pub(super) shortfall: RoaringBitmap,
    categories: HashMap<Arc<str>, RoaringBitmap, RandomState>,
    barcodes: Barcodes,
}

impl Filters {
    /// The properties of all `products`.
    pub(super) fn of(products: &Products) -> Self {
        let mut filters = Self::default();
        for (row, number) in products.iter().zip(0_u32..) {
            if let Some(row) = row {
                filters.insert(number, row);
            }
        }
        filters
    }

    pub(super) fn insert(&mut self, number: u32, new: &Product) {
        self.live.insert(number);
        self.set_stock(number, new);
        self.insert_labels(number, new);
    }

    pub(super) fn remove(&mut self, number: u32, old: &Product) {
        self.live.remove(number);
        self.in_stock.remove(number);
        self.low_stock.remove(number);
        self.shortfall.remove(number);
        self.remove_labels(number, old);
    }

    pub(super) fn update(&mut self, number: u32, old: &Product, new: &Product) {
        self.set_stock(number, new);
        let same = Arc::ptr_eq(&old.details, &new.details)
            || (old.details.category == new.details.category
                && old.details.barcode == new.details.barcode);
        if !same {
            self.remove_labels(number, old);
            self.insert_labels(number, new);
        }
    }

    /// The products of a category, if there are any.
    pub(super) fn category(&self, category: &str) -> Option<&RoaringBitmap> {
        self.categories.get(category)
    }

    /// The categories with their products' count, in order.
    pub(super) fn categories(&self) -> Vec<(Arc<str>, usize)> {
        let count = |bitmap: &RoaringBitmap| usize::try_from(bitmap.len()).unwrap_or(usize::MAX);
        let categories = self.categories.iter();
        let mut categories: Vec<_> = categories
            .map(|(category, bitmap)| (Arc::clone(category), count(bitmap)))
            .collect();
        categories.sort_unstable();
        categories
    }

    /// The products with exactly this barcode.
    pub(super) fn barcode(&self, barcode: &str, products: &Products) -> RoaringBitmap {
        let is_it = |number: &u32| {
            let product = product_at(products, *number);
            product.is_some_and(|product| product.details.barcode.as_deref() == Some(barcode))
        };
        self.barcodes.find(barcode).filter(is_it).collect()
    }

    fn set_stock(&mut self, number: u32, new: &Product) {
        set(&mut self.in_stock, number, is_in_stock(new));
        set(&mut self.low_stock, number, is_low(new));
        set(&mut self.shortfall, number, is_short(new));
    }

    fn insert_labels(&mut self, number: u32, new: &Product) {
        if let Some(category) = &new.details.category {
            match self.categories.get_mut(&**category) {
                Some(bitmap) => _ = bitmap.insert(number),
                None => {
                    let only = RoaringBitmap::from_iter([number]);
                    self.categories.insert(Arc::clone(category), only);
                }
            }
        }
        if let Some(barcode) = &new.details.barcode {
            self.barcodes.insert(barcode, number);
        }
    }

    fn remove_labels(&mut self, number: u32, old: &Product) {
        if let Some(category) = &old.details.category
            && let Some(bitmap) = self.categories.get_mut(&**category)
        {
            bitmap.remove(number);
            if bitmap.is_empty() {
                self.categories.remove(&**category);
            }
        }
        if let Some(barcode) = &old.details.barcode {
            self.barcodes.remove(barcode, number);
        }
    }
}

fn set(bitmap: &mut RoaringBitmap, number: u32, is: bool) {
    if is {
        bitmap.insert(number);
    } else {
        bitmap.remove(number);
    }
}

/// Numbers by the hash of a barcode. The text stays in the product: eight bytes here find it.
#[derive(Debug, Default)]
struct Barcodes {
    numbers: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Barcodes {
    fn hash(&self, barcode: &str) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(barcode).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The numbers under this barcode's hash.
    fn find(&self, barcode: &str) -> impl Iterator<Item = u32> + '_ {
        let hash = self.hash(barcode);
        let rows = self.numbers.iter_hash(widen(hash));
        rows.filter(move |row| row.0 == hash).map(|row| row.1)
    }

    fn insert(&mut self, barcode: &str, number: u32) {
        let hash = self.hash(barcode);
        let of = |row: &(u32, u32)| widen(row.0);
        self.numbers.insert_unique(widen(hash), (hash, number), of);
    }

    fn remove(&mut self, barcode: &str, number: u32) {
        let row = (self.hash(barcode), number);
        if let Ok(found) = self.numbers.find_entry(widen(row.0), |other| *other == row) {
            found.remove();
        }
    }
}

/// The table looks at the upper and the lower bits of a 64-bit hash; half of one is spread over
/// all.
const fn widen(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
