//! Which products contain a piece of text: bitmaps of numbers by three-byte pieces.
//!
//! Each byte of a folded field begins one piece: itself and the two behind it, or end marks where
//! the field is over. A text of three bytes is then one bitmap; shorter ones are the union of those
//! that begin with it; longer ones can only be in products that have all of its pieces, and these
//! are looked at. Bytes instead of characters, because a text is part of another exactly where its
//! UTF-8 is.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use roaring::{MultiOps, RoaringBitmap};

/// Stands behind the last byte of a field.
const END: u32 = 256;
/// Bits of a byte or an end mark.
const BITS: u32 = 9;

/// Numbers by pieces of text.
#[derive(Debug, Default)]
pub(super) struct Grams {
    numbers: HashMap<u32, RoaringBitmap, FixedState>,
}

/// What the pieces say about a text.
#[derive(Debug)]
pub(super) enum Found {
    /// Exactly these products contain it.
    Exactly(RoaringBitmap),
    /// No other products contain it.
    Among(RoaringBitmap),
}

impl Grams {
    /// Puts in many products at once, whose numbers are greater than all before.
    pub(super) fn insert_batch(&mut self, batch: &mut Batch) {
        batch.sort();
        for rows in batch.rows.chunk_by(|one, other| one.0 == other.0) {
            let Some((gram, _)) = rows.first() else {
                continue;
            };
            let bitmap = self.numbers.entry(*gram).or_default();
            for (_, number) in rows {
                // What is not greater than the last is the last: a piece that a product has twice.
                drop(bitmap.try_push(*number));
            }
        }
        batch.rows.clear();
    }

    /// Puts in a product whose folded fields are `text`, each followed by `field_end`.
    pub(super) fn insert(&mut self, number: u32, text: &[u8], field_end: u8) {
        for gram in grams(text, field_end) {
            self.numbers.entry(gram).or_default().insert(number);
        }
    }

    /// Takes out a product whose folded fields are `text`.
    pub(super) fn remove(&mut self, number: u32, text: &[u8], field_end: u8) {
        for gram in grams(text, field_end) {
            self.remove_gram(number, gram);
        }
    }

    /// Exchanges the text of a product.
    pub(super) fn update(&mut self, number: u32, old: &[u8], new: &[u8], field_end: u8) {
        let kept: hashbrown::HashSet<u32, FixedState> = grams(new, field_end).collect();
        for gram in grams(old, field_end).filter(|gram| !kept.contains(gram)) {
            self.remove_gram(number, gram);
        }
        self.insert(number, new, field_end);
    }

    fn remove_gram(&mut self, number: u32, gram: u32) {
        if let Some(bitmap) = self.numbers.get_mut(&gram) {
            bitmap.remove(number);
            if bitmap.is_empty() {
                self.numbers.remove(&gram);
            }
        }
    }

    /// The products that contain the folded `text`, as far as its pieces tell.
    pub(super) fn find(&self, text: &[u8]) -> Found {
        match text {
            [] => Found::Exactly(RoaringBitmap::new()),
            [first] => {
                let first = u32::from(*first);
                let begins = |gram: &u32| gram >> (2 * BITS) == first;
                let grams = self.numbers.iter().filter(|(gram, _)| begins(gram));
                Found::Exactly(grams.map(|(_, numbers)| numbers).union())
            }
            [first, second] => {
                let thirds = 0..=END;
                let grams = thirds.map(|third| gram((*first).into(), (*second).into(), third));
                let bitmaps = grams.filter_map(|gram| self.numbers.get(&gram));
                Found::Exactly(bitmaps.union())
            }
            [first, second, third] => {
                let gram = gram((*first).into(), (*second).into(), (*third).into());
                Found::Exactly(self.numbers.get(&gram).cloned().unwrap_or_default())
            }
            longer => Found::Among(self.having_all(longer)),
        }
    }

    fn having_all(&self, text: &[u8]) -> RoaringBitmap {
        let mut bitmaps = Vec::new();
        for piece in text.windows(3) {
            let [first, second, third] = piece else {
                continue;
            };
            let gram = gram((*first).into(), (*second).into(), (*third).into());
            match self.numbers.get(&gram) {
                Some(bitmap) => bitmaps.push(bitmap),
                None => return RoaringBitmap::new(),
            }
        }
        bitmaps.sort_by_key(|bitmap| bitmap.len());
        let mut all = bitmaps
            .first()
            .map(|least| (*least).clone())
            .unwrap_or_default();
        for bitmap in bitmaps.iter().skip(1) {
            all &= *bitmap;
        }
        all
    }
}

/// Pieces and numbers of many products, to be put in together. One by one, each piece would be a
/// look-up in cold memory; sorted, each distinct piece is.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<(u32, u32)>,
    sorted: Vec<(u32, u32)>,
}

impl Batch {
    /// Adds a product whose folded fields are `text`; numbers must come in ascending order.
    pub(super) fn add(&mut self, number: u32, text: &[u8], field_end: u8) {
        let rows = grams(text, field_end).map(|gram| (gram, number));
        self.rows.extend(rows);
    }

    /// Sorts by piece, byte by byte from the last, each time keeping the order so far: so that
    /// numbers stay ascending.
    fn sort(&mut self) {
        for byte in 0..3 {
            let digit = |row: &(u32, u32)| (row.0 >> (byte * BITS)) as usize & ((1 << BITS) - 1);
            let mut starts = [0_usize; 1 << BITS];
            for row in &self.rows {
                if let Some(count) = starts.get_mut(digit(row)) {
                    *count += 1;
                }
            }
            let mut start = 0;
            for count in &mut starts {
                start += std::mem::replace(count, start);
            }
            self.sorted.resize(self.rows.len(), (0, 0));
            for row in &self.rows {
                let Some(place) = starts.get_mut(digit(row)) else {
                    continue;
                };
                if let Some(to) = self.sorted.get_mut(*place) {
                    *to = *row;
                }
                *place += 1;
            }
            std::mem::swap(&mut self.rows, &mut self.sorted);
        }
    }
}

const fn gram(first: u32, second: u32, third: u32) -> u32 {
    first << (2 * BITS) | second << BITS | third
}

/// The pieces of `text`, some of them more than once.
fn grams(text: &[u8], field_end: u8) -> impl Iterator<Item = u32> + '_ {
    let fields = text.split(move |byte| *byte == field_end);
    fields.flat_map(|field| {
        let bytes = field.iter().map(|byte| u32::from(*byte));
        let second = bytes.clone().skip(1).chain([END]);
        let third = bytes.clone().skip(2).chain([END, END]);
        bytes
            .zip(second)
            .zip(third)
            .map(|((first, second), third)| gram(first, second, third))
    })
}
