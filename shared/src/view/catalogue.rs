//! The catalogue itself: publishing and point reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use papaya::LocalGuard;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::index::{Index, Source};
use super::page::Page;
use super::query::ListRequest;
use super::slots::{Published, Slot, Slots};
use crate::domain::ids::ProductId;
use crate::domain::inventory::Product;
use crate::domain::inventory::state::Entry;

/// Changes that maintenance takes in before it lets readers in: a few milliseconds' worth.
const CHANGES_A_TURN: usize = 1_024;
/// Texts that it puts into the search index before it lets readers in; likewise.
const TEXTS_A_TURN: u32 = 2_048;

/// How far the catalogue has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Offset of the next event: all before it are in.
    pub offset: u64,
    /// Offset of the next event of orders, where they are kept.
    pub orders: u64,
    /// The wrapping sum of [`Product::digest`] over the live products.
    pub digest: u64,
    /// Position of the next journal record.
    pub seq: u64,
}

/// One change to publish.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The product as it stands now; for a deletion, its last state.
    pub product: &'a Product,
    /// Whether it is in the catalogue; `false` is a deletion.
    pub live: bool,
    /// Position of the journal record that this comes from.
    pub record: u64,
}

type Numbers<'a> = papaya::HashMapRef<'a, ProductId, u32, RandomState, LocalGuard<'a>>;

/// The catalogue that many readers share with one publisher.
#[derive(Debug)]
pub struct Catalogue {
    slots: Slots,
    /// Place of each product that is or was.
    numbers: papaya::HashMap<ProductId, u32, RandomState>,
    live: AtomicUsize,
    head: ArcSwap<Head>,
    /// Held while publishing, and by the index where lists are of whole publications.
    publisher: Mutex<()>,
    /// Whether they are.
    is_whole: bool,
    /// Held by readers of lists, never by the publisher.
    index: RwLock<Index>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Catalogue {
    /// An empty catalogue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty catalogue with room for `products`.
    #[must_use]
    pub fn with_capacity(products: usize) -> Self {
        Self {
            slots: Slots::new(),
            numbers: papaya::HashMap::with_capacity_and_hasher(products, RandomState::default()),
            live: AtomicUsize::new(0),
            head: ArcSwap::from_pointee(Head::default()),
            publisher: Mutex::new(()),
            is_whole: false,
            index: RwLock::new(Index::default()),
        }
    }

    /// A catalogue of `entries` at `head`; what a start and a resynchronisation build aside.
    #[must_use]
    pub fn load(entries: impl IntoIterator<Item = Entry>, head: Head) -> Self {
        let entries = entries.into_iter();
        let catalogue = Self::with_capacity(entries.size_hint().0);
        {
            let _publisher = catalogue.publisher.lock();
            let numbers = catalogue.numbers.pin();
            for entry in entries {
                catalogue.put(&numbers, entry.product, entry.live, entry.last_record);
            }
        }
        catalogue.head.store(Arc::new(head));
        catalogue
    }

    /// The same, whose lists and categories show a publication whole or not at all. Its publisher waits
    /// while a reader of lists notes what has changed (some tens of nanoseconds a product), so this is for
    /// one whom nobody waits for.
    #[must_use]
    pub fn in_whole(self) -> Self {
        Self {
            is_whole: true,
            ..self
        }
    }

    /// Makes `changes` visible, then `head`. The caller is the only publisher, and what it
    /// publishes is durable.
    pub fn publish<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>, head: Head) {
        self.show(changes);
        self.reach(head);
    }

    /// Makes `changes` visible, whose head is still to be [reached](Self::reach).
    pub fn show<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) {
        let _publisher = self.publisher.lock();
        let numbers = self.numbers.pin();
        for change in changes {
            let product = change.product.clone();
            self.put(&numbers, product, change.live, change.record);
        }
    }

    /// Moves the head; every change below it must be visible.
    pub fn reach(&self, head: Head) {
        self.head.store(Arc::new(head));
    }

    /// Makes `changes` visible, then a head whose digest follows from them; for a publisher that
    /// keeps no other copy of the products. Returns that head.
    pub fn fold<'a>(
        &self,
        changes: impl IntoIterator<Item = Change<'a>>,
        offset: u64,
        seq: u64,
    ) -> Head {
        let _publisher = self.publisher.lock();
        let numbers = self.numbers.pin();
        let mut digest = self.head().digest;
        for change in changes {
            if change.live {
                digest = digest.wrapping_add(change.product.digest());
            }
            let product = change.product.clone();
            match self.put(&numbers, product, change.live, change.record) {
                Some(old) if old.live => digest = digest.wrapping_sub(old.product.digest()),
                Some(_) | None => {}
            }
        }
        let head = Head {
            offset,
            orders: 0,
            digest,
            seq,
        };
        self.head.store(Arc::new(head));
        head
    }

    /// Notes `record` as the last one about `id`, without a change; for refusals. Ids that never
    /// were are not tracked.
    pub fn touch(&self, id: &str, record: u64) {
        if let Some(slot) = self.slot(id) {
            slot.last_record.store(record, Ordering::Release);
        }
    }

    /// How far the catalogue has come.
    #[must_use]
    pub fn head(&self) -> Head {
        **self.head.load()
    }

    /// The product, if it is in the catalogue.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Published>> {
        self.published(id).filter(|published| published.live)
    }

    /// The product, deleted ones included.
    #[must_use]
    pub fn published(&self, id: &str) -> Option<Arc<Published>> {
        self.slot(id)?.current.load_full()
    }

    /// Position of the last journal record about `id`; `None` if it never was.
    #[must_use]
    pub fn last_record(&self, id: &str) -> Option<u64> {
        Some(self.slot(id)?.last_record.load(Ordering::Acquire))
    }

    /// Products in the catalogue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Whether the catalogue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Products that are or were: how many times [`Catalogue::for_each`] calls back at least.
    #[must_use]
    pub fn known(&self) -> usize {
        self.slots.len() as usize
    }

    /// Calls back with every product that is or was and the position of the last record about it,
    /// in no order. Takes no lock; changes that are published meanwhile may be seen or not, so a
    /// caller that needs one state replays the events from the head it read before.
    pub fn for_each(&self, mut each: impl FnMut(&Published, u64)) {
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get(number) else {
                continue;
            };
            // The record is read first: if it is older than the product, replaying puts it right.
            let record = slot.last_record.load(Ordering::Acquire);
            if let Some(published) = slot.current.load_full() {
                each(&published, record);
            }
        }
    }

    /// Every product that is in the catalogue, in no order.
    #[must_use]
    pub fn collect(&self) -> Vec<Arc<Published>> {
        (0..self.slots.len())
            .filter_map(|number| self.slots.current(number))
            .filter(|published| published.live)
            .collect()
    }

    /// One page of a list.
    #[must_use]
    pub fn list(&self, request: &ListRequest) -> Page {
        let head = self.head();
        self.up_to_date().list(request, head)
    }

    /// Categories of the products in the catalogue with their numbers, in order.
    #[must_use]
    pub fn categories(&self) -> Vec<(Arc<str>, usize)> {
        self.up_to_date().categories()
    }

    /// Brings the index up to date, so that the next reader of a list need not. To be called every
    /// so often by a thread that may be slow: the first time after a start it takes seconds for a
    /// million products, and until then a search looks at each of them.
    pub fn maintain(&self) {
        loop {
            let mut index = self.index.write();
            if !index.sync_some(self.source(), CHANGES_A_TURN, TEXTS_A_TURN) {
                return;
            }
            // Readers that came meanwhile go first.
            RwLockWriteGuard::unlock_fair(index);
        }
    }

    /// Keeps the index from everybody else, as a slow reader would.
    #[cfg(test)]
    pub(super) fn hold_index(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write()
    }

    /// The index with everything in it that was published before this call.
    fn up_to_date(&self) -> RwLockReadGuard<'_, Index> {
        let index = self.index.read();
        // Asked with the lock held: nobody is then halfway through a sweep that took the marks.
        if !self.slots.is_marked() {
            return index;
        }
        drop(index);
        let mut index = self.index.write();
        index.sync(self.source());
        RwLockWriteGuard::downgrade(index)
    }

    fn source(&self) -> Source<'_> {
        Source {
            slots: &self.slots,
            between: self.is_whole.then_some(&self.publisher),
        }
    }

    fn slot(&self, id: &str) -> Option<&Slot> {
        let number = *self.numbers.pin().get(id)?;
        self.slots.get(number)
    }

    /// Puts a product in its place and returns what stood there.
    fn put(
        &self,
        numbers: &Numbers<'_>,
        product: Product,
        live: bool,
        record: u64,
    ) -> Option<Arc<Published>> {
        let known = numbers
            .get(product.id.as_str())
            .and_then(|number| Some((*number, self.slots.get(*number)?)));
        let old = match known {
            Some((number, slot)) => {
                slot.last_record.store(record, Ordering::Release);
                let published = Arc::new(Published { product, live });
                let old = slot.current.swap(Some(published));
                self.slots.mark(number);
                old
            }
            None => {
                let id = product.id.clone();
                let published = Arc::new(Published { product, live });
                let number = self.slots.push(published, record);
                numbers.insert(id, number);
                self.slots.mark(number);
                None
            }
        };
        match (old.as_ref().is_some_and(|old| old.live), live) {
            (false, true) => _ = self.live.fetch_add(1, Ordering::AcqRel),
            (true, false) => _ = self.live.fetch_sub(1, Ordering::AcqRel),
            (true, true) | (false, false) => {}
        }
        old
    }
}
