//! The products as lists see them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::Head;
use super::cursor::{Cursor, Key};
use super::page::Page;
use super::query::{Direction, Filter, ListRequest, Query, Start};
use super::slots::{Published, Slots};
use super::{query, text};

/// The products as lists see them.
#[derive(Debug, Default)]
pub(super) struct Index {
    products: BTreeMap<u32, Arc<Published>>,
}

impl Index {
    pub(super) fn sync(&mut self, slots: &Slots) {
        let mut numbers = Vec::new();
        slots.take_marked(&mut numbers, usize::MAX);
        for number in numbers {
            match slots.current(number) {
                Some(published) if published.live => {
                    self.products.insert(number, published);
                }
                Some(_) | None => {
                    self.products.remove(&number);
                }
            }
        }
    }

    pub(super) fn list(&self, request: &ListRequest, head: Head) -> Page {
        let query = &request.query;
        let mut rows: Vec<_> = self
            .products
            .values()
            .filter(|row| matches(&query.filter, row))
            .collect();
        rows.sort_by(|one, other| order(query, &place(query, one), &place(query, other)));
        let (skip, offset) = match &request.start {
            Start::Offset(offset) => (*offset, *offset),
            Start::After(cursor) => {
                let last = (cursor.key.clone(), &*cursor.id);
                let skip = rows.partition_point(|row| {
                    order(query, &place(query, row), &last) != Ordering::Greater
                });
                (skip, cursor.rows)
            }
        };
        let products: Vec<_> = rows.iter().skip(skip).take(request.limit).collect();
        let given = offset.saturating_add(products.len());
        let next = match products.last() {
            Some(last) if skip.saturating_add(products.len()) < rows.len() => {
                Some(Cursor::after(query, given, &last.product).encode())
            }
            Some(_) | None => None,
        };
        Page {
            products: products.into_iter().map(|row| Arc::clone(row)).collect(),
            offset,
            limit: request.limit,
            total: rows.len(),
            next,
            head,
        }
    }

    pub(super) fn categories(&self) -> Vec<(Arc<str>, usize)> {
        let mut counts = BTreeMap::new();
        for product in self.products.values() {
            if let Some(category) = &product.details.category {
                *counts.entry(Arc::clone(category)).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }
}

fn place<'a>(query: &Query, row: &'a Published) -> (Key, &'a str) {
    (Key::of(row, query.sort), row.id.as_str())
}

fn order(query: &Query, one: &(Key, &str), other: &(Key, &str)) -> Ordering {
    let keys = match (&one.0, &other.0) {
        (Key::Name(one), Key::Name(other)) => one.cmp(other),
        (Key::Number(one), Key::Number(other)) => one.cmp(other),
        _ => Ordering::Equal,
    };
    let ascending = keys.then_with(|| one.1.cmp(other.1));
    match query.direction {
        Direction::Ascending => ascending,
        Direction::Descending => ascending.reverse(),
    }
}

fn matches(filter: &Filter, row: &Published) -> bool {
    let asked = |asked: Option<bool>, is: bool| asked.is_none_or(|asked| asked == is);
    let equal = |asked: &Option<Box<str>>, is: Option<&str>| {
        asked.as_deref().is_none_or(|asked| is == Some(asked))
    };
    let found = |needle: &str| text::searched(row).any(|field| text::fold(field).contains(needle));
    filter
        .text
        .as_ref()
        .map(query::SearchText::folded)
        .is_none_or(found)
        && equal(&filter.barcode, row.details.barcode.as_deref())
        && equal(&filter.category, row.details.category.as_deref())
        && asked(filter.in_stock, query::is_in_stock(row))
        && asked(filter.low_stock, query::is_low(row))
        && asked(filter.shortfall, query::is_short(row))
}
