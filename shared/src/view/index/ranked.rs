//! Orders of products, in which two products are compared by one number.
//!
//! Comparing ids or names means following three pointers into cold memory, a dozen times per
//! search. So each product in a text order carries a *label*: a 64-bit number, greater than the
//! labels before it and less than those behind it. The text is compared once, when a product comes
//! in; from then on its place is found by its label. Labels are given out with gaps; where a gap
//! closes, the labels around it are spread again, over as many chunks as it takes to find room.
//!
//! Orders by a figure have many equal keys (most of a shop has three of everything), which are
//! ordered by id: there the id's label breaks the tie.

use super::sorted::{Place, Sorted};

/// Label distance at which a product is put behind its neighbour, if there is room: products that
/// come in ascending order then use up a gap slowly.
const STEP: u64 = 1 << 24;
/// Least distance after labels were spread again.
const ROOM: u64 = 1 << 26;

/// Products in the order of a text.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    order: Sorted<u32>,
    /// Label of each product by its number; 0 for those that are not in the order.
    labels: Vec<u64>,
}

impl Ranked {
    /// The order of `numbers`, which are sorted, among `places` places.
    pub(super) fn of(numbers: &[u32], places: usize) -> Self {
        let mut ranked = Self {
            order: Sorted::of(numbers),
            labels: vec![0; places],
        };
        ranked.spread(0, numbers.len(), 0, u64::MAX);
        ranked
    }

    /// The products in order.
    pub(super) const fn order(&self) -> &Sorted<u32> {
        &self.order
    }

    /// The label of a product.
    pub(super) fn label(&self, number: u32) -> u64 {
        self.labels.get(number as usize).copied().unwrap_or(0)
    }

    /// Puts a product behind those for which `before` is true.
    pub(super) fn insert(&mut self, number: u32, before: impl FnMut(u32) -> bool) {
        if self.labels.len() <= number as usize {
            self.labels.resize(number as usize + 1, 0);
        }
        let place = self.order.bound(before);
        let (low, high) = self.labels_around(place);
        self.order.insert(place, number);
        let gap = high.saturating_sub(low);
        if gap >= 2 {
            self.set_label(number, low + (gap / 2).min(STEP));
        } else {
            self.make_room(place.chunk);
        }
    }

    /// Takes a product out.
    pub(super) fn remove(&mut self, number: u32) {
        let label = self.label(number);
        let place = self.order.bound(|other| self.label(other) < label);
        let removed = self.order.remove(place);
        debug_assert_eq!(removed, Some(number));
        self.set_label(number, 0);
    }

    /// The labels of the products on both sides of a place.
    pub(super) fn labels_around(&self, place: Place) -> (u64, u64) {
        let before = self.order.before(place).next();
        let after = self.order.after(place).next();
        (
            before.map_or(0, |number| self.label(number)),
            after.map_or(u64::MAX, |number| self.label(number)),
        )
    }

    fn set_label(&mut self, number: u32, label: u64) {
        if let Some(place) = self.labels.get_mut(number as usize) {
            *place = label;
        }
    }

    /// Spreads the labels around a chunk, and over the one behind it, into which it may have been
    /// split.
    fn make_room(&mut self, chunk: usize) {
        let end = self.order.chunks().saturating_sub(1);
        let mut reach = 0_usize;
        loop {
            let first = chunk.saturating_sub(reach);
            let last = (chunk + 1 + reach).min(end);
            let low = self.order.last_before(first);
            let low = low.map_or(0, |number| self.label(number));
            let high = self.order.first_after(last);
            let high = high.map_or(u64::MAX, |number| self.label(number));
            let count = self.order.in_chunks(first, last).count();
            let everything = first == 0 && last == end;
            if everything || (high - low) / (count as u64 + 1) >= ROOM {
                self.spread(first, last, low, high);
                return;
            }
            reach = reach * 2 + 1;
        }
    }

    /// Gives the chunks from `first` to `last` labels at even distances between `low` and `high`.
    fn spread(&mut self, first: usize, last: usize, low: u64, high: u64) {
        let last = last.min(self.order.chunks().saturating_sub(1));
        let count = self.order.in_chunks(first, last).count() as u64;
        let gap = (high - low) / (count + 1);
        let mut label = low;
        for number in self.order.in_chunks(first, last) {
            label += gap;
            if let Some(place) = self.labels.get_mut(number as usize) {
                *place = label;
            }
        }
    }
}

/// Products in the order of a figure; those with equal figures in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    order: Sorted<(i64, u32)>,
}

impl Keyed {
    /// The order of `rows`, which are sorted.
    pub(super) fn of(rows: &[(i64, u32)]) -> Self {
        Self {
            order: Sorted::of(rows),
        }
    }

    /// The figures and products in order.
    pub(super) const fn order(&self) -> &Sorted<(i64, u32)> {
        &self.order
    }

    /// Puts a product in that is in `ids`.
    pub(super) fn insert(&mut self, key: i64, number: u32, ids: &Ranked) {
        let place = self.place(key, number, ids);
        self.order.insert(place, (key, number));
    }

    /// Takes a product out that is still in `ids`.
    pub(super) fn remove(&mut self, key: i64, number: u32, ids: &Ranked) {
        let place = self.place(key, number, ids);
        let removed = self.order.remove(place);
        debug_assert_eq!(removed, Some((key, number)));
    }

    fn place(&self, key: i64, number: u32, ids: &Ranked) -> Place {
        let label = ids.label(number);
        self.order.bound(|(other_key, other)| {
            other_key < key || (other_key == key && ids.label(other) < label)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ranked: &Ranked, model: &[u32]) {
        let order: Vec<_> = ranked.order.after(Sorted::<u32>::start()).collect();
        assert_eq!(order, model);
        let labels: Vec<_> = order.iter().map(|number| ranked.label(*number)).collect();
        assert!(labels.is_sorted_by(|one, other| one < other));
        assert!(labels.first().is_none_or(|first| *first > 0));
    }

    /// Goal: labels stay in order where gaps close. Method: numbers come in at one spot, at the
    /// start, in ascending, and in descending order; each fills a gap in another way.
    #[test]
    fn labels_stay_in_order_where_gaps_close() {
        for spot in [0, 700, 1_400] {
            for step in [0, 1] {
                let mut model: Vec<u32> = (0..1_400).collect();
                let mut ranked = Ranked::of(&model, 1_400);
                let mut at = spot;
                for number in 1_400..6_000 {
                    let behind = model.get(at).copied();
                    let label = behind.map_or(u64::MAX, |behind| ranked.label(behind));
                    let labels = ranked.labels.clone();
                    ranked.insert(number, |other| labels[other as usize] < label);
                    model.insert(at, number);
                    at += step;
                }
                check(&ranked, &model);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_keyed_order_is_sorted_by_figure_and_id(
            changes in prop::collection::vec((0_u32..300, -3_i64..3, any::<bool>()), 0..2_000),
        ) {
            // Product `n` has the id order of `n * 7 % 300`.
            let rank = |number: u32| number * 7 % 300;
            let mut numbers: Vec<u32> = (0..300).collect();
            numbers.sort_by_key(|number| rank(*number));
            let ids = Ranked::of(&numbers, 300);
            let mut model: Vec<(i64, u32)> = Vec::new();
            let mut keyed = Keyed::default();
            for (number, key, remove) in changes {
                if let Some(at) = model.iter().position(|row| row.1 == number) {
                    let (old, _) = model.remove(at);
                    keyed.remove(old, number, &ids);
                }
                if !remove {
                    model.push((key, number));
                    keyed.insert(key, number, &ids);
                }
            }
            model.sort_by_key(|(key, number)| (*key, rank(*number)));
            let order: Vec<_> = keyed.order.after(Sorted::<u32>::start()).collect();
            prop_assert_eq!(order, model);
        }
    }
}
