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
        let live = products.iter().zip(0_u32..);
        let live = live.filter_map(|(row, number)| Some((&row.as_deref()?.product, number)));
        let live: Vec<(&Product, u32)> = live.collect();
        let mut ids: Vec<_> = live
            .iter()
            .map(|(product, number)| (lead(product.id.as_str().as_bytes()), *product, *number))
            .collect();
        ids.sort_unstable_by(|one, other| {
            let leads = one.0.cmp(&other.0);
            leads.then_with(|| one.1.id.as_str().cmp(other.1.id.as_str()))
        });
        let by_id: Vec<_> = ids
            .iter()
            .map(|(_, product, number)| (*product, *number))
            .collect();
        drop(ids);

        let mut folded = Vec::new();
        let mut names: Vec<_> = by_id
            .iter()
            .map(|(product, number)| {
                folded.clear();
                text::fold_into(&mut folded, &product.details.name);
                (lead(&folded), *product, *number)
            })
            .collect();
        // These sorts are stable, and begin with the order of the ids.
        names.sort_by(|one, other| {
            let leads = one.0.cmp(&other.0);
            leads.then_with(|| text::compare(&one.1.details.name, &other.1.details.name))
        });
        let names: Vec<_> = names.iter().map(|(_, _, number)| *number).collect();
        let keyed = |key: fn(&Product) -> i64| {
            let rows = by_id
                .iter()
                .map(|(product, number)| (key(product), *number));
            let mut rows: Vec<_> = rows.collect();
            rows.sort_by_key(|row| row.0);
            Keyed::of(&rows)
        };
        let numbers: Vec<_> = by_id.iter().map(|(_, number)| *number).collect();
        Self {
            by_id: Ranked::of(&numbers, products.len()),
            by_name: Ranked::of(&names, products.len()),
            by_available: keyed(Product::available),
            by_price: keyed(price),
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

/// The first bytes of a text as a number: sorting compares these and seldom looks further.
fn lead(bytes: &[u8]) -> u128 {
    let mut lead = [0; 16];
    for (to, from) in lead.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_be_bytes(lead)
}
