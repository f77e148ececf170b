//! Reservations: units held for somebody, for a while.
//!
//! ```text
//!            ┌─ commit ──▶ committed      the units leave the house
//!  active ───┼─ release ─▶ released       the units are free again
//!            └─ time ────▶ expired ─ reacquire ─▶ committed
//! ```
//!
//! A reservation is resolved at most once. Its units are in `reserved` of its products for exactly as
//! long as it is active, which makes `reserved` a sum and never a figure of its own: nobody releases
//! "five units", only a reservation, and that works once. Somebody who reserves again under the same
//! owner and reference gets the old hold replaced, not another beside it. The name counts within one
//! shop, so that no shop takes another's hold away by choosing its name.
//!
//! A hold runs out by itself, except one whose order has been paid: those units have been sold.
//! What has run out counts as free from that moment, whether or not it has been written down yet.
//!
//! Resolved reservations are kept for a while and then forgotten, the oldest first and by count alone,
//! so that every copy of the log forgets the same ones. Which ones follows from what they say, not
//! from the way they came in, so a copy can be put together in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::ProductMap;
use crate::clock::Timestamp;
use crate::domain::ids::{OrderId, Owner, ProductId, ReservationId, StoreId};
use crate::limits;

/// How a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// Its units are held.
    Active,
    /// Its units have left the house.
    Committed,
    /// Its units were given back.
    Released,
    /// Its time ran out and its units are free again.
    Expired,
}

impl ReservationState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Active, Self::Committed, Self::Released, Self::Expired];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// Parses the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Units of one product that are held, or asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which product.
    pub product_id: ProductId,
    /// How many units; at least 1.
    pub quantity: i64,
}

/// One reservation, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Its id.
    pub reservation_id: ReservationId,
    /// For whom.
    pub owner: Owner,
    /// The owner's own name for it; a new hold under the same name replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<str>>,
    /// The shop that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// The order it belongs to, which alone resolves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// What is held: one line a product, in the order in which they were asked for.
    pub lines: Arc<[Line]>,
    /// How it stands.
    pub state: ReservationState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it runs out; `None` once its order is paid.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

impl Reservation {
    /// Whether its units are held.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == ReservationState::Active
    }

    /// Whether its time has run out at `now` and nobody has written it down yet.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_active() && self.expires_at.is_some_and(|at| at <= now)
    }

    /// How it stands at `now`.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> ReservationState {
        if self.is_due(now) {
            ReservationState::Expired
        } else {
            self.state
        }
    }
}

/// When a hold runs out, so that what never does comes last.
type Due = (bool, Timestamp);

/// For which shop, who holds under which reference; names the hold that another one replaces.
type Name = (Option<StoreId>, Owner, Arc<str>);

/// Every reservation that is remembered, and the ways to find one.
///
/// All but `all` says nothing of its own.
#[derive(Clone, Debug, Default)]
pub struct Reservations {
    all: BTreeMap<ReservationId, Arc<Reservation>>,
    active: usize,
    /// Active ones by when they run out.
    due: BTreeSet<(Timestamp, ReservationId)>,
    /// Active ones by product, and by when they run out.
    holds: ProductMap<BTreeSet<(Due, ReservationId)>>,
    /// Active ones of no order by shop, owner and reference.
    named: BTreeMap<Name, ReservationId>,
    /// Resolved ones by when that was.
    resolved: BTreeSet<(Timestamp, ReservationId)>,
}

impl Reservations {
    /// The reservation, if it is remembered.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Reservation>> {
        self.all.get(id)
    }

    /// Every remembered reservation, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.all.values()
    }

    /// Up to `count` reservations that come after `id`, by id.
    #[must_use]
    pub fn after(&self, id: Option<&ReservationId>, count: usize) -> Vec<Arc<Reservation>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, Excluded);
        let after = self.all.range::<ReservationId, _>((from, Unbounded));
        after.take(count).map(|(_, it)| Arc::clone(it)).collect()
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many are active.
    #[must_use]
    pub const fn active(&self) -> usize {
        self.active
    }

    /// When the next one runs out.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Those that have run out at `now`, the longest ago first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Reservation>> {
        self.due
            .iter()
            .take_while(move |(at, _)| *at <= now)
            .filter_map(|(_, id)| self.all.get(id))
    }

    /// Active reservations that hold units of `product`, the next to run out first.
    pub fn holding(&self, product: &str) -> impl Iterator<Item = &Arc<Reservation>> {
        let ids = self.holds.get(product).into_iter().flatten();
        ids.filter_map(|(_, id)| self.all.get(id))
    }

    /// Those of them that have run out at `now`. That there are none is known at once, however many
    /// hold.
    pub fn holding_due(
        &self,
        product: &str,
        now: Timestamp,
    ) -> impl Iterator<Item = &Arc<Reservation>> {
        let ids = self.holds.get(product).into_iter().flatten();
        ids.take_while(move |(due, _)| *due <= (false, now))
            .filter_map(|(_, id)| self.all.get(id))
    }

    /// Units of `product` that are held.
    #[must_use]
    pub fn held(&self, product: &str) -> i64 {
        self.holding(product)
            .flat_map(|reservation| reservation.lines.iter())
            .filter(|line| line.product_id.as_str() == product)
            .fold(0, |sum, line| sum.saturating_add(line.quantity))
    }

    /// The active reservation of no order that `owner` made under `reference` at `store`.
    #[must_use]
    pub fn named(
        &self,
        store: Option<&StoreId>,
        owner: &Owner,
        reference: &Arc<str>,
    ) -> Option<&Arc<Reservation>> {
        let name = (store.cloned(), owner.clone(), Arc::clone(reference));
        self.all.get(self.named.get(&name)?)
    }

    /// Puts a reservation in as it stands now, and forgets the oldest if too many are resolved.
    /// Returns that one.
    pub fn put(&mut self, reservation: &Reservation) -> Option<Arc<Reservation>> {
        let id = &reservation.reservation_id;
        let before = self.all.insert(id.clone(), Arc::new(reservation.clone()));
        if let Some(before) = &before {
            self.unindex(before);
        }
        self.index(reservation);
        if self.resolved.len() <= limits::RESERVATIONS_RESOLVED_KEPT {
            return None;
        }
        let (_, oldest) = self.resolved.pop_first()?;
        self.all.remove(&oldest)
    }

    fn index(&mut self, reservation: &Reservation) {
        let id = &reservation.reservation_id;
        if !reservation.is_active() {
            self.resolved.insert((resolved_at(reservation), id.clone()));
            return;
        }
        self.active = self.active.saturating_add(1);
        if let Some(at) = reservation.expires_at {
            self.due.insert((at, id.clone()));
        }
        for line in reservation.lines.iter() {
            let holds = self.holds.entry(line.product_id.clone()).or_default();
            holds.insert((due(reservation), id.clone()));
        }
        if let Some(name) = name(reservation) {
            self.named.insert(name, id.clone());
        }
    }

    fn unindex(&mut self, reservation: &Reservation) {
        let id = &reservation.reservation_id;
        if !reservation.is_active() {
            self.resolved
                .remove(&(resolved_at(reservation), id.clone()));
            return;
        }
        self.active = self.active.saturating_sub(1);
        if let Some(at) = reservation.expires_at {
            self.due.remove(&(at, id.clone()));
        }
        for line in reservation.lines.iter() {
            if let Some(holds) = self.holds.get_mut(line.product_id.as_str()) {
                holds.remove(&(due(reservation), id.clone()));
                if holds.is_empty() {
                    self.holds.remove(line.product_id.as_str());
                }
            }
        }
        if let Some(name) = name(reservation)
            && self.named.get(&name) == Some(id)
        {
            self.named.remove(&name);
        }
    }
}

fn due(reservation: &Reservation) -> Due {
    let at = reservation.expires_at;
    (at.is_none(), at.unwrap_or_default())
}

fn resolved_at(reservation: &Reservation) -> Timestamp {
    reservation.resolved_at.unwrap_or_default()
}

fn name(reservation: &Reservation) -> Option<Name> {
    match (&reservation.order_id, &reservation.reference) {
        (None, Some(reference)) => Some((
            reservation.store_id.clone(),
            reservation.owner.clone(),
            Arc::clone(reference),
        )),
        (Some(_), _) | (None, None) => None,
    }
}

/// `lines` with the units of one product added up, in the order of first mention.
///
/// Two lines for one product must be checked against its stock together, never each alone.
#[must_use]
pub fn summed(lines: &[Line]) -> Vec<Line> {
    let mut sums: Vec<Line> = Vec::with_capacity(lines.len());
    let mut places = ProductMap::<usize>::default();
    for line in lines {
        let place = places.get(line.product_id.as_str()).copied();
        match place.and_then(|place| sums.get_mut(place)) {
            Some(sum) => sum.quantity = sum.quantity.saturating_add(line.quantity),
            None => {
                places.insert(line.product_id.clone(), sums.len());
                sums.push(line.clone());
            }
        }
    }
    sums
}
