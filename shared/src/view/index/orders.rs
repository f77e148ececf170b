//! The four orders in which products can be listed.

use std::cmp::Ordering;

use super::ranked::{Keyed, Ranked};
use super::{Products, product_at};
use crate::domain::inventory::Product;
use crate::view::text;

/// The four orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) by_id: Ranked,
    pub(super) by_name: Ranked,
    pub(super) by_available: Keyed,
    pub(super) by_price: Keyed,
}

impl Orders {
    /// The orders of all `products`: a few sorts, which is ten times quicker than putting a
    /// million products in one by one.
    pub(super) fn of(products: &Products) -> Self {
        let ids = sorted_by_text(products, &[], |product, out| {
            out.extend_from_slice(product.id.as_str().as_bytes());
        });
        let mut ranks = vec![0; products.len()];
        for (rank, number) in (0..).zip(&ids) {
            if let Some(place) = ranks.get_mut(*number as usize) {
                *place = rank;
            }
        }
        let names = sorted_by_text(products, &ranks, |product, out| {
            text::fold_into(out, &product.details.name);
        });
        Self {
            by_id: Ranked::of(&ids, products.len()),
            by_name: Ranked::of(&names, products.len()),
            by_available: Keyed::of(&sorted_by_figure(products, &ranks, Product::available)),
            by_price: Keyed::of(&sorted_by_figure(products, &ranks, price)),
        }
    }

    /// Takes out product `number`, which stood as `old`.
    pub(super) fn remove(&mut self, number: u32, old: &Product) {
        self.by_available
            .remove(old.available(), number, &self.by_id);
        self.by_price.remove(price(old), number, &self.by_id);
        self.by_name.remove(number);
        // Last: the others find the product by its label here.
        self.by_id.remove(number);
    }

    /// Puts in product `number`, which stands as `new`; `products` are those in the orders.
    pub(super) fn insert(&mut self, number: u32, new: &Product, products: &Products) {
        let id = new.id.as_str();
        let before =
            |other| product_at(products, other).is_some_and(|other| other.id.as_str() < id);
        self.by_id.insert(number, before);
        self.insert_name(number, new, products);
        self.by_available
            .insert(new.available(), number, &self.by_id);
        self.by_price.insert(price(new), number, &self.by_id);
    }

    /// Moves product `number`, which stood as `old` and now stands as `new`.
    pub(super) fn update(&mut self, number: u32, old: &Product, new: &Product, all: &Products) {
        if old.available() != new.available() {
            self.by_available
                .remove(old.available(), number, &self.by_id);
            self.by_available
                .insert(new.available(), number, &self.by_id);
        }
        if price(old) != price(new) {
            self.by_price.remove(price(old), number, &self.by_id);
            self.by_price.insert(price(new), number, &self.by_id);
        }
        let (old, name) = (&old.details.name, &new.details.name);
        if old != name && text::compare(old, name) != Ordering::Equal {
            self.by_name.remove(number);
            self.insert_name(number, new, all);
        }
    }

    fn insert_name(&mut self, number: u32, new: &Product, products: &Products) {
        let (ids, label) = (&self.by_id, self.by_id.label(number));
        self.by_name.insert(number, |other| {
            let Some(row) = product_at(products, other) else {
                return false;
            };
            let names = text::compare(&row.details.name, &new.details.name);
            names.then_with(|| ids.label(other).cmp(&label)) == Ordering::Less
        });
    }
}

/// What products are ordered by when they are ordered by price.
pub(super) fn price(product: &Product) -> i64 {
    product.details.price.minor()
}

/// Live products with their numbers.
fn live(products: &Products) -> impl Iterator<Item = (&Product, u32)> {
    let rows = products.iter().zip(0_u32..);
    rows.filter_map(|(row, number)| Some((&row.as_deref()?.product, number)))
}

/// What is sorted instead of a product: the figure or a part of the text, then the rank of its id.
/// All the sort reads lies side by side; the products are scattered over memory.
type SortRow<K> = (K, u32, u32);

fn sort_row<K>(key: K, number: u32, ranks: &[u32]) -> SortRow<K> {
    let rank = ranks.get(number as usize).copied().unwrap_or(0);
    (key, rank, number)
}

fn sorted_by_figure(
    products: &Products,
    ranks: &[u32],
    figure: fn(&Product) -> i64,
) -> Vec<(i64, u32)> {
    let rows = live(products).map(|(row, number)| sort_row(figure(row), number, ranks));
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    let rows = rows.into_iter().map(|(figure, _, number)| (figure, number));
    rows.collect()
}

/// Numbers by a text that `write` writes, equal ones by rank. Texts are compared some bytes at a
/// time: only those that agree so far are looked at again.
fn sorted_by_text(
    products: &Products,
    ranks: &[u32],
    write: impl Fn(&Product, &mut Vec<u8>),
) -> Vec<u32> {
    let mut texts = Texts::default();
    for row in products {
        if let Some(row) = row {
            write(row, &mut texts.bytes);
        }
        texts.ends.push(texts.bytes.len());
    }
    let rows = live(products).map(|(_, number)| sort_row(texts.part(number, 0), number, ranks));
    let mut rows: Vec<_> = rows.collect();
    // Ranges of rows that agree up to some byte.
    let mut open = vec![(0..rows.len(), 0)];
    while let Some((range, skip)) = open.pop() {
        let first = range.start;
        let rows = rows.get_mut(range).unwrap_or_default();
        if skip > 0 {
            for (key, _, number) in &mut *rows {
                *key = texts.part(*number, skip);
            }
        }
        rows.sort_unstable();
        let mut start = first;
        for equal in rows.chunk_by(|one, other| one.0 == other.0) {
            let end = start + equal.len();
            if equal.len() > 1 && equal.first().is_some_and(|row| goes_on(row.0)) {
                open.push((start..end, skip + PART));
            }
            start = end;
        }
    }
    rows.into_iter().map(|(_, _, number)| number).collect()
}

/// Texts by number, side by side.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// The part of a text that begins after `skip` bytes.
    fn part(&self, number: u32, skip: usize) -> u128 {
        let number = number as usize;
        let start = number
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let start = start.copied().unwrap_or(0) + skip;
        let end = self.ends.get(number).copied().unwrap_or(0);
        part(self.bytes.get(start..end).unwrap_or_default())
    }
}

/// Bytes of a text in its [`part`].
const PART: usize = 15;

/// The first bytes of a text and how many there are, as one number that compares as they do.
fn part(text: &[u8]) -> u128 {
    let mut part = [0; PART + 1];
    for (to, from) in part.iter_mut().zip(text).take(PART) {
        *to = *from;
    }
    let length = text.len().min(PART + 1);
    u128::from_be_bytes(part) | u128::try_from(length).unwrap_or(0)
}

/// Whether there is more of the text than is in its part.
const fn goes_on(part: u128) -> bool {
    part & 0xff > PART as u128
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::view::slots::Published;
    use crate::view::tests::named;

    proptest! {
        /// Texts that agree for long, that end where others go on, and that hold zeroes.
        #[test]
        fn sorting_by_parts_is_sorting(
            names in prop::collection::vec("(abcdefg){0,6}[ab\u{0}]{0,4}", 0..60)
        ) {
            let products: Products = names
                .iter()
                .map(|name| named("A", name))
                .map(|product| Some(Arc::new(Published { product, live: true })))
                .collect();
            let ranks: Vec<u32> = (0..60).map(|number| number * 7 % 61).collect();
            let sorted = sorted_by_text(&products, &ranks, |product, out| {
                out.extend_from_slice(product.details.name.as_bytes());
            });
            let mut expected: Vec<_> = (0_u32..).zip(&names).map(|row| row.0).collect();
            expected.sort_by_key(|at| (&names[*at as usize], ranks[*at as usize]));
            prop_assert_eq!(sorted, expected);
        }
    }
}
