//! One page of a list.
//!
//! Two ways lead to a page. Few matches are sorted. Many are met by walking the order and asking
//! the bitmap about each product: with one match in twenty, fifty rows are a thousand steps. Which
//! is cheaper is estimated from how many match and how far the page is from where the walk begins.
//! Without a filter every product matches and an offset is a rank, which needs no walk.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::orders::price;
use super::ranked::Ranked;
use super::sorted::Sorted;
use super::{Index, product_at};
use crate::domain::inventory::Product;
use crate::view::catalogue::Head;
use crate::view::cursor::{Cursor, Key};
use crate::view::page::Page;
use crate::view::query::{Direction, Filter, ListRequest, Query, SearchText, Sort, Start};
use crate::view::text;

/// Steps of a walk that take as long as fetching and sorting one match.
const STEPS_PER_SORTED: usize = 25;

/// Matches whose bit is set in the time that a compressed bitmap takes for one answer more than a
/// plain one.
const STEPS_PER_DENSE: usize = 10;

/// What decides about a product's place in an order: the figure, if it is ordered by one, and the
/// label of its id or name.
type Rank = (i64, u64);

/// An entry of an order.
trait Row: Copy {
    fn number(self) -> u32;
}

impl Row for u32 {
    fn number(self) -> u32 {
        self
    }
}

impl Row for (i64, u32) {
    fn number(self) -> u32 {
        self.1
    }
}

/// The part of a list that a page wants.
#[derive(Clone, Copy, Debug)]
struct Window {
    direction: Direction,
    /// Rows to pass over.
    skip: usize,
    /// Only rows beyond this rank, in the list's direction.
    beyond: Option<Rank>,
    /// Most rows.
    limit: usize,
}

/// Numbers of a page's rows, and whether the list goes on behind them.
#[derive(Debug, Default)]
struct Rows {
    numbers: Vec<u32>,
    more: bool,
}

impl Index {
    /// The page that `request` asks for.
    pub(in crate::view) fn list(&self, request: &ListRequest, head: Head) -> Page {
        let ListRequest {
            query,
            start,
            limit,
        } = request;
        let matching = self.matching(&query.filter);
        let total = matching.as_deref().unwrap_or(&self.filters.live).len();
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let (skip, offset) = match start {
            Start::Offset(offset) => (*offset, *offset),
            Start::After(cursor) => (0, cursor.rows),
        };
        let window = Window {
            direction: query.direction,
            skip,
            beyond: match start {
                Start::Offset(_) => None,
                Start::After(cursor) => Some(self.rank_of(query, cursor)),
            },
            limit: *limit,
        };
        let rows = if skip >= total {
            Rows::default()
        } else {
            self.rows(query.sort, window, matching.as_deref(), total)
        };
        let product = |number: &u32| self.products.get(*number as usize)?.clone();
        let products: Vec<_> = rows.numbers.iter().filter_map(product).collect();
        let given = offset.saturating_add(products.len());
        let next = products.last().filter(|_| rows.more);
        let next = next.map(|last| Cursor::after(query, given, last).encode());
        Page {
            products,
            offset,
            limit: *limit,
            total,
            next,
            head,
        }
    }

    /// The products that pass `filter`; `None` if it lets all pass.
    fn matching(&self, filter: &Filter) -> Option<Cow<'_, RoaringBitmap>> {
        let Filter {
            text,
            barcode,
            category,
            in_stock,
            low_stock,
            shortfall,
        } = filter;
        let filters = &self.filters;
        let none = || Cow::Owned(RoaringBitmap::new());
        let mut parts: Vec<Cow<'_, RoaringBitmap>> = Vec::new();
        if let Some(category) = category {
            parts.push(filters.category(category).map_or_else(none, Cow::Borrowed));
        }
        if let Some(barcode) = barcode {
            parts.push(Cow::Owned(filters.barcode(barcode, &self.products)));
        }
        let flags = [
            (in_stock, &filters.in_stock),
            (low_stock, &filters.low_stock),
            (shortfall, &filters.shortfall),
        ];
        let mut without = Vec::new();
        for (asked, having) in flags {
            match asked {
                Some(true) => parts.push(Cow::Borrowed(having)),
                Some(false) => without.push(having),
                None => {}
            }
        }
        if let Some(text) = text.as_ref().map(SearchText::folded) {
            let found = self.search.find(text, &self.products);
            parts.push(Cow::Owned(Arc::unwrap_or_clone(found)));
        }
        intersection(parts, &without, &filters.live)
    }

    /// What rows behind the cursor rank beyond, whether or not its product is still there.
    fn rank_of(&self, query: &Query, cursor: &Cursor) -> Rank {
        let products = &self.products;
        let id = |number: u32| product_at(products, number).map_or("", |row| row.id.as_str());
        let by_id = |number: u32| id(number).cmp(&*cursor.id);
        let label = |order: &Ranked, compare: &dyn Fn(u32) -> Ordering| match query.direction {
            Direction::Ascending => {
                let place = order.order().bound(|number| compare(number).is_le());
                order.labels_around(place).0
            }
            Direction::Descending => {
                let place = order.order().bound(|number| compare(number).is_lt());
                order.labels_around(place).1
            }
        };
        match &cursor.key {
            Key::Id => (0, label(&self.orders.by_id, &by_id)),
            Key::Number(figure) => (*figure, label(&self.orders.by_id, &by_id)),
            Key::Name(folded) => {
                let by_name = |number: u32| {
                    let product = product_at(products, number);
                    let name = product.map_or("", |row| &*row.details.name);
                    text::compare(name, folded).then_with(|| by_id(number))
                };
                (0, label(&self.orders.by_name, &by_name))
            }
        }
    }

    /// The rows of a window, of `total` that are `matching`.
    fn rows(
        &self,
        sort: Sort,
        window: Window,
        matching: Option<&RoaringBitmap>,
        total: usize,
    ) -> Rows {
        let orders = &self.orders;
        let by_label = |order: &Ranked, number| (0, order.label(number));
        let by_figure = |figure: fn(&Product) -> i64, number| {
            let figure = product_at(&self.products, number).map_or(0, figure);
            (figure, orders.by_id.label(number))
        };
        let of_row = |(figure, number)| (figure, orders.by_id.label(number));
        let few = matching.filter(|_| {
            let walk = window.skip.saturating_add(window.limit);
            let everything = usize::try_from(self.filters.live.len()).unwrap_or(usize::MAX);
            total.saturating_mul(total).saturating_mul(STEPS_PER_SORTED)
                <= walk.saturating_mul(everything)
        });
        match (few, sort) {
            (Some(few), Sort::ProductId) => sorted(few, window, |n| by_label(&orders.by_id, n)),
            (Some(few), Sort::Name) => sorted(few, window, |n| by_label(&orders.by_name, n)),
            (Some(few), Sort::Available) => {
                sorted(few, window, |n| by_figure(Product::available, n))
            }
            (Some(few), Sort::Price) => sorted(few, window, |n| by_figure(price, n)),
            (None, Sort::ProductId) => walked(orders.by_id.order(), window, matching, |n| {
                by_label(&orders.by_id, n)
            }),
            (None, Sort::Name) => walked(orders.by_name.order(), window, matching, |n| {
                by_label(&orders.by_name, n)
            }),
            (None, Sort::Available) => {
                walked(orders.by_available.order(), window, matching, of_row)
            }
            (None, Sort::Price) => walked(orders.by_price.order(), window, matching, of_row),
        }
    }
}

/// What is in all of `parts` and in none of `without`; `None` if neither asks for anything.
fn intersection<'a>(
    mut parts: Vec<Cow<'a, RoaringBitmap>>,
    without: &[&RoaringBitmap],
    live: &'a RoaringBitmap,
) -> Option<Cow<'a, RoaringBitmap>> {
    if parts.is_empty() {
        if without.is_empty() {
            return None;
        }
        parts.push(Cow::Borrowed(live));
    }
    // The smallest first: no step is larger than it.
    parts.sort_by_key(|part| part.len());
    let mut parts = parts.into_iter();
    let mut all = parts.next()?;
    for part in parts {
        *all.to_mut() &= &*part;
    }
    for part in without {
        *all.to_mut() -= *part;
    }
    Some(all)
}

/// The window's rows by sorting all that match.
fn sorted(matching: &RoaringBitmap, window: Window, rank: impl Fn(u32) -> Rank) -> Rows {
    let ranks = matching.iter().map(|number| (rank(number), number));
    let mut rows: Vec<(Rank, u32)> = match (window.beyond, window.direction) {
        (None, _) => ranks.collect(),
        (Some(beyond), Direction::Ascending) => ranks.filter(|row| row.0 > beyond).collect(),
        (Some(beyond), Direction::Descending) => ranks.filter(|row| row.0 < beyond).collect(),
    };
    match window.direction {
        Direction::Ascending => rows.sort_unstable(),
        Direction::Descending => rows.sort_unstable_by(|one, other| other.cmp(one)),
    }
    let end = window.skip.saturating_add(window.limit);
    let numbers = rows.iter().skip(window.skip).take(window.limit);
    Rows {
        numbers: numbers.map(|row| row.1).collect(),
        more: rows.len() > end,
    }
}

/// The window's rows by walking the order.
fn walked<T: Row>(
    order: &Sorted<T>,
    window: Window,
    matching: Option<&RoaringBitmap>,
    rank: impl Fn(T) -> Rank,
) -> Rows {
    let Some(matching) = matching else {
        return walked_where(order, window, true, rank, |_| true);
    };
    let few = usize::try_from(matching.len()).unwrap_or(usize::MAX);
    let rows = window.skip.saturating_add(window.limit);
    let steps = (order.len() / few.max(1)).saturating_mul(rows);
    if steps.saturating_mul(STEPS_PER_DENSE) > few {
        let dense = Dense::of(matching);
        walked_where(order, window, false, rank, |number| dense.contains(number))
    } else {
        walked_where(order, window, false, rank, |number| {
            matching.contains(number)
        })
    }
}

fn walked_where<T: Row>(
    order: &Sorted<T>,
    window: Window,
    every: bool,
    rank: impl Fn(T) -> Rank,
    matches: impl Fn(u32) -> bool,
) -> Rows {
    // Where everything matches, an offset is a rank.
    let jump = if every { window.skip } else { 0 };
    let (skip, limit) = (window.skip - jump, window.limit);
    let (start, end) = (Sorted::<T>::start(), order.end());
    match window.direction {
        Direction::Ascending => {
            let place = match window.beyond {
                Some(beyond) => order.bound(|row| rank(row) <= beyond),
                None => order.seek(jump),
            };
            take(order.after(place), order.before(end), matches, skip, limit)
        }
        Direction::Descending => {
            let place = match window.beyond {
                Some(beyond) => order.bound(|row| rank(row) < beyond),
                None => order.seek(order.len().saturating_sub(jump)),
            };
            take(
                order.before(place),
                order.after(start),
                matches,
                skip,
                limit,
            )
        }
    }
}

/// A bitmap for asking about very many numbers: one load each, where the compressed one searches.
struct Dense(Vec<u64>);

impl Dense {
    fn of(bitmap: &RoaringBitmap) -> Self {
        let mut words = vec![0; bitmap.max().map_or(0, |max| max as usize / 64 + 1)];
        for number in bitmap {
            if let Some(word) = words.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        Self(words)
    }

    fn contains(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// The first `limit` matching rows after `skip` of them. `back` are all rows from the other end:
/// the first match there is where the list ends, which spares the last page a walk through all
/// that does not match.
fn take<T: Row>(
    rows: impl Iterator<Item = T>,
    back: impl Iterator<Item = T>,
    matches: impl Fn(u32) -> bool,
    skip: usize,
    limit: usize,
) -> Rows {
    let matches = |number: &u32| matches(*number);
    let mut numbers = Vec::with_capacity(limit);
    let Some(last) = back.map(Row::number).find(&matches) else {
        return Rows::default();
    };
    let mut skipped = 0;
    for number in rows.map(Row::number).filter(&matches) {
        if skipped < skip {
            skipped += 1;
        } else {
            numbers.push(number);
        }
        if number == last || numbers.len() == limit {
            break;
        }
    }
    let more = numbers.len() == limit && numbers.last() != Some(&last);
    Rows { numbers, more }
}
