//! Searching: which products contain a text.
//!
//! The pieces of text ([`grams`](super::grams)) are the one part of the index that takes seconds to
//! build for a million products, so they are built in the background, by number: products behind
//! the point that was reached are looked at one by one until then.
//!
//! Results are kept. A product whose text changes is put right in every kept result, so that they
//! never grow old: searches for what people search for cost one look-up.

use std::sync::Arc;

use memchr::memmem::Finder;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::grams::{Batch, Found, Grams};
use super::{Products, product_at};
use crate::domain::inventory::Product;
use crate::limits;
use crate::view::text::{FIELD_END, fold_searched, searched};

/// Searching.
#[derive(Debug, Default)]
pub(super) struct Search {
    grams: Grams,
    /// Products with smaller numbers are in `grams`.
    built: u32,
    /// Locked for moments only, by readers that hold the index for reading.
    kept: Mutex<Kept>,
    /// Pieces on their way; kept for its memory until all are in.
    batch: Batch,
    /// Folded text of the product at hand; kept for its memory.
    folded: Vec<u8>,
    old_folded: Vec<u8>,
}

impl Search {
    /// Whether numbers below `places` remain to be put into the pieces.
    pub(super) const fn is_behind(&self, places: u32) -> bool {
        self.built < places
    }

    /// Puts the next `count` products into the pieces.
    pub(super) fn build(&mut self, count: u32, products: &Products) {
        let places = u32::try_from(products.len()).unwrap_or(u32::MAX);
        let end = self.built.saturating_add(count).min(places);
        if self.built >= end {
            return;
        }
        for number in self.built..end {
            if let Some(product) = product_at(products, number) {
                self.folded.clear();
                fold_searched(&mut self.folded, product);
                self.batch.add(number, &self.folded, FIELD_END);
            }
        }
        self.grams.insert_batch(&mut self.batch);
        self.built = end;
        if end == places {
            self.batch = Batch::default();
        }
    }

    /// Takes in that product `number` came, went, or has another text.
    pub(super) fn change(&mut self, number: u32, old: Option<&Product>, new: Option<&Product>) {
        if let (Some(old), Some(new)) = (old, new)
            && (Arc::ptr_eq(&old.details, &new.details) || searched(old).eq(searched(new)))
        {
            return;
        }
        if number >= self.built && self.kept.get_mut().results.is_empty() {
            return;
        }
        self.folded.clear();
        if let Some(new) = new {
            fold_searched(&mut self.folded, new);
        }
        self.kept.get_mut().change(number, &self.folded);
        if number >= self.built {
            return;
        }
        self.old_folded.clear();
        if let Some(old) = old {
            fold_searched(&mut self.old_folded, old);
        }
        match (old, new) {
            (Some(_), Some(_)) => {
                let (old, new) = (&self.old_folded, &self.folded);
                self.grams.update(number, old, new, FIELD_END);
            }
            (Some(_), None) => self.grams.remove(number, &self.old_folded, FIELD_END),
            (None, Some(_)) => self.grams.insert(number, &self.folded, FIELD_END),
            (None, None) => {}
        }
    }

    /// Forgets the kept results; cheaper than putting them right when a great deal changes.
    pub(super) fn forget_kept(&mut self) {
        self.kept.get_mut().results.clear();
    }

    /// The products that contain the folded `text`.
    pub(super) fn find(&self, text: &str, products: &Products) -> Arc<RoaringBitmap> {
        if let Some(kept) = self.kept.lock().get(text) {
            return kept;
        }
        let found = Arc::new(self.look(text.as_bytes(), products));
        self.kept.lock().put(text, Arc::clone(&found));
        found
    }

    fn look(&self, text: &[u8], products: &Products) -> RoaringBitmap {
        let finder = Finder::new(text);
        let mut folded = Vec::new();
        let mut has_it = |number: u32| {
            folded.clear();
            if let Some(product) = product_at(products, number) {
                fold_searched(&mut folded, product);
            }
            finder.find(&folded).is_some()
        };
        let mut found = match self.grams.find(text) {
            Found::Exactly(found) => found,
            Found::Among(candidates) => candidates.iter().filter(|one| has_it(*one)).collect(),
        };
        let places = u32::try_from(products.len()).unwrap_or(u32::MAX);
        let rest = (self.built..places).filter(|number| has_it(*number));
        // Ascending, and greater than all before.
        found.extend(rest);
        found
    }
}

/// Results of the latest searches.
#[derive(Debug, Default)]
struct Kept {
    results: Vec<Result>,
    /// Counts look-ups; the least recently used result goes first.
    now: u64,
}

#[derive(Debug)]
struct Result {
    text: Box<str>,
    used: u64,
    found: Arc<RoaringBitmap>,
}

impl Kept {
    fn get(&mut self, text: &str) -> Option<Arc<RoaringBitmap>> {
        self.now += 1;
        let result = self
            .results
            .iter_mut()
            .find(|result| *result.text == *text)?;
        result.used = self.now;
        Some(Arc::clone(&result.found))
    }

    fn put(&mut self, text: &str, found: Arc<RoaringBitmap>) {
        let new = Result {
            text: text.into(),
            used: self.now,
            found,
        };
        if self.results.len() < limits::SEARCHES_KEPT {
            self.results.push(new);
        } else if let Some(oldest) = self.results.iter_mut().min_by_key(|result| result.used) {
            *oldest = new;
        }
    }

    /// Puts every result right about product `number`, whose folded text is now `folded`.
    fn change(&mut self, number: u32, folded: &[u8]) {
        for result in &mut self.results {
            let has_it = memchr::memmem::find(folded, result.text.as_bytes()).is_some();
            if result.found.contains(number) != has_it {
                let found = Arc::make_mut(&mut result.found);
                if has_it {
                    found.insert(number);
                } else {
                    found.remove(number);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_that_were_asked_for_last_are_kept() {
        let mut kept = Kept::default();
        for search in 0..limits::SEARCHES_KEPT {
            kept.put(&search.to_string(), Arc::default());
            assert!(kept.get("0").is_some());
        }
        kept.put("one more", Arc::default());
        assert_eq!(kept.results.len(), limits::SEARCHES_KEPT);
        assert!(kept.get("0").is_some() && kept.get("one more").is_some());
        assert!(kept.get("1").is_none());
    }

    #[test]
    fn a_kept_result_follows_the_text() {
        let mut kept = Kept::default();
        kept.put("ab", Arc::default());
        let found = |kept: &mut Kept| kept.get("ab").is_some_and(|found| found.contains(7));
        kept.change(7, b"xabx\xff");
        assert!(found(&mut kept));
        kept.change(7, b"a\xffb\xff");
        assert!(!found(&mut kept));
    }
}
