//! The products as lists see them: in every order, and by every property.
//!
//! The index keeps the very products it was built from, beside the catalogue's slots, which run
//! ahead of it. So a page is in itself exact (no row that its filter would not let through, none
//! out of order), and the index knows what to take out when a product changes. Readers hold it
//! together; whoever finds changes holds it alone while taking them in.
//!
//! Where publications are to be seen whole, what has changed is noted between two of them. All marks of
//! a publication are then set before any is taken, so as long as one is left a reader of a list takes
//! the rest in first.

mod filters;
mod grams;
mod list;
mod orders;
mod ranked;
mod search;
mod sorted;

use std::sync::Arc;

use filters::Filters;
use orders::Orders;
use parking_lot::Mutex;
use search::Search;

use super::slots::{Published, Slots};
use crate::domain::inventory::Product;

/// Where changes come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The products as they are published, and which have changed.
    pub(super) slots: &'a Slots,
    /// Held while publishing, where publications are to be seen whole.
    pub(super) between: Option<&'a Mutex<()>>,
}

/// A product that has changed: its number, and what it is now, unless it is gone.
type News = (u32, Option<Arc<Published>>);

/// Live products by number.
type Products = Vec<Option<Arc<Published>>>;

/// The live product with this number.
fn product_at(products: &Products, number: u32) -> Option<&Product> {
    let row = products.get(number as usize)?.as_deref()?;
    Some(&row.product)
}

/// Changes from which on everything is built anew: sorting all is quicker than this many changes
/// one by one if they are also a quarter of the catalogue. (Few in unit tests, which compare both
/// ways with a model of some dozens of products; the next constant likewise.)
const REBUILD_LEAST: usize = if cfg!(test) { 12 } else { 4_096 };
/// Products whose text a reader of a list puts into the search index in passing, so that small
/// catalogues need nobody in the background.
const TEXTS_IN_PASSING: u32 = if cfg!(test) { 4 } else { 1_024 };

/// The products as lists see them.
#[derive(Debug, Default)]
pub(super) struct Index {
    products: Products,
    orders: Orders,
    filters: Filters,
    search: Search,
    /// Numbers of changed slots; kept for its memory, as is the next.
    changed: Vec<u32>,
    news: Vec<News>,
}

impl Index {
    /// Takes in everything that was published.
    pub(super) fn sync(&mut self, source: Source<'_>) {
        self.take_in(source, usize::MAX);
        self.search.build(TEXTS_IN_PASSING, &self.products);
    }

    /// Takes in about `changes` changes, or very many at once, and puts the text of `texts`
    /// products into the search index. Returns whether something is left to do, besides what is being
    /// published just now: that is for the next time, or there would be no end to it.
    pub(super) fn sync_some(&mut self, source: Source<'_>, changes: usize, texts: u32) -> bool {
        let slots = source.slots;
        let new = (slots.len() as usize).saturating_sub(self.products.len());
        let most = if self.is_many(new) {
            usize::MAX
        } else {
            changes
        };
        let taken = self.take_in(source, most);
        self.search.build(texts, &self.products);
        taken >= changes || self.search.is_behind(slots.len())
    }

    /// Categories with their products' count, in order.
    pub(super) fn categories(&self) -> Vec<(Arc<str>, usize)> {
        self.filters.categories()
    }

    const fn is_many(&self, changes: usize) -> bool {
        changes > REBUILD_LEAST && changes > self.products.len() / 4
    }

    /// Takes in changes and returns how many.
    fn take_in(&mut self, source: Source<'_>, most: usize) -> usize {
        let mut news = self.note(source, most);
        let places = source.slots.len() as usize;
        if self.products.len() < places {
            self.products.resize(places, None);
        }
        let (taken, many) = (news.len(), self.is_many(news.len()));
        if many {
            self.search.forget_kept();
        }
        for (number, new) in news.drain(..) {
            self.take(number, new, many);
        }
        if many {
            self.orders = Orders::of(&self.products);
            self.filters = Filters::of(&self.products);
        }
        news.shrink_to(REBUILD_LEAST);
        self.news = news;
        taken
    }

    /// Notes which products have changed, and what they are now.
    fn note(&mut self, Source { slots, between }: Source<'_>, most: usize) -> Vec<News> {
        let mut news = std::mem::take(&mut self.news);
        let whole = between.map(Mutex::lock);
        slots.take_marked(&mut self.changed, most);
        let now = |number: u32| slots.current(number).filter(|published| published.live);
        news.extend(self.changed.drain(..).map(|number| (number, now(number))));
        drop(whole);
        self.changed.shrink_to(REBUILD_LEAST);
        news
    }

    /// Takes in what became of product `number`; its places in orders and filters only if they are
    /// not built anew anyway.
    fn take(&mut self, number: u32, new: Option<Arc<Published>>, many: bool) {
        let Some(row) = self.products.get_mut(number as usize) else {
            return;
        };
        let before = row.take();
        let old = before.as_deref().map(|row| &row.product);
        let now = new.as_deref().map(|row| &row.product);
        self.search.change(number, old, now);
        if !many {
            match (old, now) {
                (None, Some(new)) => {
                    self.orders.insert(number, new, &self.products);
                    self.filters.insert(number, new);
                }
                (Some(old), Some(new)) => {
                    self.orders.update(number, old, new, &self.products);
                    self.filters.update(number, old, new);
                }
                // By its labels, not by its text: it need not be among the products any more.
                (Some(old), None) => {
                    self.orders.remove(number, old);
                    self.filters.remove(number, old);
                }
                (None, None) => {}
            }
        }
        if let Some(row) = self.products.get_mut(number as usize) {
            *row = new;
        }
    }
}
