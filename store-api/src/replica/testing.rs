//! A log to test with: events as central would encode them, and the state at every offset.

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::{
    Details, Event, EventKind, Inventory, Movement, MovementKind, Product, Stock,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::wire::event::{Batch, FeedEvent, Position as EventPosition};
use shared::wire::product::Encoder;

use super::files::Summary;

/// A log that was decided before the test began.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestLog {
    pub(crate) events: Vec<Bytes>,
    /// Whether a batch ends with this event.
    pub(crate) ends_batch: Vec<bool>,
    plain: Vec<Event>,
}

/// A small generator of repeatable numbers; quality does not matter here.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below.max(1)
    }
}

pub(crate) fn product(id: &str, on_hand: i64, version: u64) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        details: Details {
            name: format!("Name of {id}").into(),
            price: Money::from_minor(199).unwrap(),
            ..Details::default()
        }
        .into(),
        stock: Stock {
            on_hand,
            ..Stock::default()
        },
        version,
        last_updated: Timestamp::from_millis(1_768_473_000_123),
    }
}

impl TestLog {
    /// The first `keep` events of this log, then `more` others.
    pub(crate) fn fork(&self, keep: usize, more: usize, seed: u64) -> Self {
        let mut log = Self {
            events: self.events[..keep].to_vec(),
            ends_batch: self.ends_batch[..keep].to_vec(),
            plain: self.plain[..keep].to_vec(),
        };
        let mut dice = Dice(seed);
        let mut state = log.state(keep);
        while log.events.len() < keep + more {
            let size = if dice.roll(4) == 0 { 3 } else { 1 };
            let id = log.events.len() as u64;
            for index in 0..size {
                let event = random_event(&mut dice, &state);
                state.apply(&event);
                let batch = (size > 1).then_some(Batch { id, size, index });
                log.push(event, batch, index + 1 == size);
            }
        }
        log
    }

    fn push(&mut self, event: Event, batch: Option<Batch>, ends: bool) {
        let position = EventPosition {
            offset: self.events.len() as u64,
            at: Timestamp::from_millis(1_768_473_000_456),
            batch,
        };
        let mut bytes = Vec::new();
        let origin = Origin::internal("test");
        Encoder::new().event(&mut bytes, position, &event, &origin);
        self.events.push(bytes.into());
        self.ends_batch.push(ends);
        self.plain.push(event);
    }

    /// The state after the first `offset` events.
    pub(crate) fn state(&self, offset: usize) -> Inventory {
        let mut state = Inventory::default();
        for event in &self.plain[..offset] {
            state.apply(event);
        }
        state
    }

    /// The end of a batch at or after `offset`.
    pub(crate) fn boundary(&self, offset: usize) -> usize {
        let mut at = offset.min(self.events.len());
        while at > 0 && at < self.events.len() && !self.ends_batch[at - 1] {
            at += 1;
        }
        at
    }
}

fn random_event(dice: &mut Dice, state: &Inventory) -> Event {
    // One id that needs escaping.
    let number = dice.roll(12);
    let id = if number == 0 {
        "quo\"te\\".to_owned()
    } else {
        format!("P-{number}")
    };
    let known = state.entry(&id);
    let version = known.map_or(1, |entry| entry.product.version + 1);
    let live = known.is_some_and(|entry| entry.live);
    let kind = match (live, dice.roll(6)) {
        (false, _) => EventKind::Created,
        (true, 0) => EventKind::Deleted,
        (true, _) => EventKind::Updated,
    };
    let on_hand = i64::try_from(dice.roll(1000)).unwrap();
    Event {
        kind,
        product: product(&id, on_hand, version),
        movement: Movement::of(MovementKind::Adjusted),
    }
}

/// The products of a state, by id.
pub(crate) fn products(state: &Inventory) -> Vec<Product> {
    let mut products: Vec<_> = state
        .entries()
        .filter(|entry| entry.live)
        .map(|entry| entry.product.clone())
        .collect();
    products.sort_by(|a, b| a.id.cmp(&b.id));
    products
}

/// What a state can be compared by.
pub(crate) fn summary(state: &Inventory) -> Summary {
    Summary {
        count: state.len() as u64,
        digest: state.digest(),
    }
}

/// Folds events over products.
pub(crate) fn fold<'a>(
    rows: &[Product],
    events: impl IntoIterator<Item = &'a FeedEvent>,
) -> Inventory {
    let mut state = Inventory::default();
    let mut apply = |kind, product: &Product| {
        state.apply(&Event {
            kind,
            product: product.clone(),
            movement: Movement::of(MovementKind::Adjusted),
        });
    };
    for row in rows {
        apply(EventKind::Created, row);
    }
    for event in events {
        if let Some((kind, product)) = &event.change {
            apply(*kind, product);
        }
    }
    state
}
