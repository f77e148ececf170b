//! Deciding about holds: reserve, commit, release, extend, expire.
//!
//! All lines of a reservation or none, decided against the stock as it is in the same moment: there is
//! no check that could be outdated by the time of the taking. Each of the ways out works once;
//! repeating it changes nothing, contradicting it is refused.
//!
//! What must stay true: an order's hold is resolved by its order alone, or the two would disagree; and
//! a shop resolves no other shop's holds. A repeat is recorded with the reservation as it stood, so
//! that a repeat of the repeat is told the same, whatever has become of it since.

use super::command::{Command, Reserve};
use super::decide::all_refused;
use super::draft::{Draft, Step};
use super::event::MovementKind;
use super::reservation::{Line, Reservation, ReservationState, summed};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::{OrderId, ProductId, ReservationId, StoreId};
use crate::domain::rejection::Rejection;
use crate::limits;

/// What becomes of a command about one reservation.
type Outcome = Result<ItemResult, Rejection>;

impl Draft<'_> {
    /// Decides a command about a hold.
    pub(super) fn hold(&mut self, command: &Command) {
        let outcome = match command {
            Command::Reserve(reserve) => return self.reserve(reserve, None),
            Command::Expire => return self.expire(),
            Command::Commit {
                reservation,
                reacquire,
                store,
            } => match self.to_be_resolved(reservation, store.as_ref()) {
                Ok(reservation) if *reacquire && self.has_run_out(&reservation) => {
                    return self.reacquire(&reservation);
                }
                Ok(reservation) => self.commit(reservation),
                Err(rejection) => Err(rejection),
            },
            Command::Release { reservation, store } => self
                .to_be_resolved(reservation, store.as_ref())
                .and_then(|reservation| self.release(reservation)),
            Command::Extend {
                reservation,
                store,
                ttl_millis,
            } => self
                .to_be_resolved(reservation, store.as_ref())
                .and_then(|reservation| self.extend(reservation, *ttl_millis)),
            Command::Move { .. }
            | Command::Create { .. }
            | Command::Edit { .. }
            | Command::Delete { .. }
            | Command::Count { .. }
            | Command::Import { .. } => return,
        };
        let result = outcome.unwrap_or_else(ItemResult::Refused);
        self.decision.results.push(result);
    }

    /// Holds all lines, or refuses with every line that is short; for `order`, if it is one's.
    pub fn reserve(&mut self, reserve: &Reserve, order: Option<&OrderId>) {
        if self.state.reservations().active() >= limits::RESERVATIONS_ACTIVE {
            self.decision = Decision::refused(Rejection::TooManyReservations {});
            return;
        }
        if self
            .state
            .reservations()
            .get(reserve.reservation.as_str())
            .is_some()
        {
            self.decision = Decision::refused(Rejection::ReservationExists {
                reservation_id: reserve.reservation.clone(),
            });
            return;
        }
        let before = reserve.reference.as_ref().filter(|_| order.is_none());
        let before = before.and_then(|name| {
            let store = reserve.store.as_ref();
            self.state.reservations().named(store, &reserve.owner, name)
        });
        if let Some(before) = before {
            let end = before.state_at(self.now);
            self.resolve(
                before,
                match end {
                    ReservationState::Active => ReservationState::Released,
                    ReservationState::Expired
                    | ReservationState::Released
                    | ReservationState::Committed => end,
                },
            );
        }
        let lines = summed(&reserve.lines);
        let reservation = Reservation {
            reservation_id: reserve.reservation.clone(),
            owner: reserve.owner.clone(),
            reference: reserve.reference.clone(),
            store_id: reserve.store.clone(),
            order_id: order.cloned(),
            lines: lines.into(),
            state: ReservationState::Active,
            created_at: self.now,
            expires_at: Some(self.now.plus_millis(reserve.ttl_millis)),
            resolved_at: None,
        };
        let lines = reservation.lines.clone();
        self.each(&lines, |draft, line| draft.take(line, &reservation));
        if self.decision.has_refusal() {
            self.decision = all_refused(std::mem::take(&mut self.decision));
        } else {
            self.decision.reservations.push(reservation);
        }
    }

    /// Puts the units of one line aside.
    fn take(&self, line: &Line, reservation: &Reservation) -> Step {
        let product = self.free(&line.product_id, line.quantity)?;
        let mut stock = product.stock;
        stock.reserved = stock.reserved.saturating_add(line.quantity);
        let kind = MovementKind::Reserved;
        Ok(Some(self.held(product, stock, kind, line, reservation)))
    }

    /// Takes the units of one line out of the house though they are held no more.
    fn retake(&self, line: &Line, reservation: &Reservation) -> Step {
        let product = self.free(&line.product_id, line.quantity)?;
        let mut stock = product.stock;
        stock.on_hand = stock.on_hand.saturating_sub(line.quantity);
        let kind = MovementKind::Committed;
        Ok(Some(self.held(product, stock, kind, line, reservation)))
    }

    /// The product, if so many units of it may still be promised.
    fn free(&self, id: &ProductId, quantity: i64) -> Result<&super::product::Product, Rejection> {
        let product = self.live(id)?;
        if product.available() < quantity {
            return Err(Rejection::InsufficientInventory {
                product_id: id.clone(),
                delta: quantity.saturating_neg(),
                available: product.available(),
                version: product.version,
                last_updated: product.last_updated,
            });
        }
        Ok(product)
    }

    fn commit(&mut self, reservation: Reservation) -> Outcome {
        match reservation.state_at(self.now) {
            ReservationState::Active => {
                self.resolve(&reservation, ReservationState::Committed);
                Ok(ItemResult::Applied(0))
            }
            ReservationState::Committed => Ok(self.as_it_stands(reservation)),
            ReservationState::Released => Err(resolved(&reservation)),
            ReservationState::Expired => Err(expired(&reservation, self.now)),
        }
    }

    fn has_run_out(&self, reservation: &Reservation) -> bool {
        reservation.state_at(self.now) == ReservationState::Expired
    }

    /// Takes the units of a hold that has run out, all of them or none.
    fn reacquire(&mut self, reservation: &Reservation) {
        if reservation.is_active() {
            self.resolve(reservation, ReservationState::Expired);
        }
        self.each(&reservation.lines, |draft, line| {
            draft.retake(line, reservation)
        });
        if self.decision.has_refusal() {
            // Nothing else follows in this decision; that holds have run out will be written by
            // whoever meets them next.
            self.decision = all_refused(std::mem::take(&mut self.decision));
            return;
        }
        self.decision.results = vec![ItemResult::Applied(0)];
        self.decision.reservations.push(Reservation {
            state: ReservationState::Committed,
            resolved_at: Some(self.now),
            ..reservation.clone()
        });
    }

    fn release(&mut self, reservation: Reservation) -> Outcome {
        match reservation.state_at(self.now) {
            ReservationState::Active => {
                self.resolve(&reservation, ReservationState::Released);
                Ok(ItemResult::Applied(0))
            }
            // Whoever gives back what has run out meanwhile wanted it free, and it is.
            ReservationState::Expired if reservation.is_active() => {
                self.resolve(&reservation, ReservationState::Expired);
                Ok(ItemResult::Applied(0))
            }
            ReservationState::Released | ReservationState::Expired => {
                Ok(self.as_it_stands(reservation))
            }
            ReservationState::Committed => Err(resolved(&reservation)),
        }
    }

    fn extend(&mut self, reservation: Reservation, ttl_millis: i64) -> Outcome {
        match reservation.state_at(self.now) {
            ReservationState::Active => {}
            ReservationState::Expired => return Err(expired(&reservation, self.now)),
            ReservationState::Committed | ReservationState::Released => {
                return Err(resolved(&reservation));
            }
        }
        let life = i64::try_from(limits::RESERVATION_LIFE_MAX.as_millis()).unwrap_or(i64::MAX);
        let latest = reservation.created_at.plus_millis(life);
        let until = self.now.plus_millis(ttl_millis);
        if until > latest {
            return Err(Rejection::ReservationTooLong {
                reservation_id: reservation.reservation_id,
                latest,
            });
        }
        self.decision.reservations.push(Reservation {
            expires_at: Some(until),
            ..reservation
        });
        Ok(ItemResult::Applied(0))
    }

    fn as_it_stands(&mut self, reservation: Reservation) -> ItemResult {
        self.decision.reservations.push(reservation);
        ItemResult::Unchanged
    }

    /// Ends what has run out, up to a bound; the rest is for the next time.
    fn expire(&mut self) {
        let mut lines = 0_usize;
        for reservation in self.state.reservations().due(self.now) {
            self.resolve(reservation, ReservationState::Expired);
            lines = lines.saturating_add(reservation.lines.len());
            if lines >= limits::EXPIRED_LINES {
                break;
            }
        }
        let result = if lines == 0 {
            ItemResult::Unchanged
        } else {
            ItemResult::Applied(0)
        };
        self.decision.results.push(result);
    }

    /// The reservation, if `store` may resolve it. One that was made for no shop is anybody's: what is
    /// ordered on the web is handed out by the shop.
    fn to_be_resolved(
        &self,
        id: &ReservationId,
        store: Option<&StoreId>,
    ) -> Result<Reservation, Rejection> {
        let Some(reservation) = self.reservation(id.as_str()) else {
            return Err(Rejection::ReservationNotFound {
                reservation_id: id.clone(),
            });
        };
        if let (Some(asks), Some(owns)) = (store, &reservation.store_id)
            && asks != owns
        {
            return Err(Rejection::ReservationOfStore {
                reservation_id: id.clone(),
            });
        }
        match &reservation.order_id {
            Some(order_id) => Err(Rejection::ReservationOfOrder {
                reservation_id: id.clone(),
                order_id: order_id.clone(),
            }),
            None => Ok(reservation.clone()),
        }
    }
}

fn resolved(reservation: &Reservation) -> Rejection {
    Rejection::ReservationResolved {
        reservation_id: reservation.reservation_id.clone(),
        state: reservation.state,
    }
}

fn expired(reservation: &Reservation, now: Timestamp) -> Rejection {
    Rejection::ReservationExpired {
        reservation_id: reservation.reservation_id.clone(),
        expired_at: reservation
            .resolved_at
            .or(reservation.expires_at)
            .unwrap_or(now),
    }
}
