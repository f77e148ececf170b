//! The state that events fold into: every product, and a digest of all of them.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::event::{Event, EventKind};
use super::product::Product;
use super::reservation::{Reservation, Reservations};
use crate::domain::ids::ProductId;

/// The hash map of the rules: a fixed seed, so that runs repeat; its order is never an output.
pub type ProductMap<T> = HashMap<ProductId, T, FixedState>;

/// What is known of one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The product; for a deleted one its last state.
    pub product: Product,
    /// Whether it is in the catalogue. A deleted product keeps its entry, so that its version goes
    /// on from there if it is created again.
    pub live: bool,
    /// Position of the last record about this product, kept here for the journal's sake; the rules
    /// neither read nor change it.
    pub last_record: u64,
}

/// Every product that is or was.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    entries: ProductMap<Entry>,
    reservations: Reservations,
    live: usize,
    digest: u64,
}

impl Inventory {
    /// An inventory with room for `products`.
    #[must_use]
    pub fn with_capacity(products: usize) -> Self {
        Self {
            entries: HashMap::with_capacity_and_hasher(products, FixedState::default()),
            ..Self::default()
        }
    }

    /// The product, if it is in the catalogue.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Product> {
        self.entries
            .get(id)
            .filter(|entry| entry.live)
            .map(|entry| &entry.product)
    }

    /// What is known of `id`, deleted products included.
    #[must_use]
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Products in the catalogue.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether the catalogue is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The wrapping sum of [`Product::digest`] over the products in the catalogue.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Who holds units.
    #[must_use]
    pub const fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// Puts a reservation in as it stands now. Its products are told of by events of their own.
    pub fn put_reservation(&mut self, reservation: &Reservation) {
        self.reservations.put(reservation);
    }

    /// Every entry, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The digest recomputed from scratch; equals [`Inventory::digest`] or there is a defect.
    #[must_use]
    pub fn recomputed_digest(&self) -> u64 {
        self.entries
            .values()
            .filter(|entry| entry.live)
            .fold(0, |sum, entry| sum.wrapping_add(entry.product.digest()))
    }

    /// Folds one event in. Cannot fail: an event is a fact.
    pub fn apply(&mut self, event: &Event) {
        let live = event.kind != EventKind::Deleted;
        self.put(&event.product, live);
    }

    /// Folds one event in and notes `record` as the last one about its product.
    pub fn apply_at(&mut self, event: &Event, record: u64) {
        let live = event.kind != EventKind::Deleted;
        self.put(&event.product, live).last_record = record;
    }

    /// Puts a product in as it stands in a snapshot.
    pub fn restore(&mut self, entry: Entry) {
        let record = entry.last_record;
        self.put(&entry.product, entry.live).last_record = record;
    }

    /// Notes `record` as the last one about `id`; ids that never were are not tracked.
    pub fn touch(&mut self, id: &str, record: u64) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.last_record = record;
        }
    }

    fn put(&mut self, product: &Product, live: bool) -> &mut Entry {
        if live {
            self.digest = self.digest.wrapping_add(product.digest());
            self.live = self.live.saturating_add(1);
        }
        match self.entries.entry(product.id.clone()) {
            hashbrown::hash_map::Entry::Occupied(occupied) => {
                let entry = occupied.into_mut();
                if entry.live {
                    self.digest = self.digest.wrapping_sub(entry.product.digest());
                    self.live = self.live.saturating_sub(1);
                }
                entry.product = product.clone();
                entry.live = live;
                entry
            }
            hashbrown::hash_map::Entry::Vacant(vacant) => vacant.insert(Entry {
                product: product.clone(),
                live,
                last_record: 0,
            }),
        }
    }
}
