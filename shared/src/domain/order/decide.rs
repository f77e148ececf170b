//! `(state, command, now) → decision`, pure, for orders.
//!
//! An order and the units it holds change in one decision, so no crash can come between them. How one
//! begins: [`placing`](super::placing); what becomes of its money: [`paying`](super::paying).

use std::sync::Arc;

use super::command::{Command, Transition};
use super::event::{Event, EventKind};
use super::placing::place;
use super::{Failure, Order, OrderStatus};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::OrderId;
use crate::domain::inventory::{Draft, Line, Reservation, ReservationState};
use crate::domain::rejection::Rejection;
use crate::domain::state::State;

/// Decides `command` against `state` at `now`.
#[must_use]
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    match command {
        Command::Place(order) => place(state, order, now),
        Command::Transition {
            order,
            to,
            expected_version,
        } => on(state, order, *expected_version, now, |work| {
            work.transition(*to)
        }),
        Command::Readdress {
            order,
            address,
            expected_version,
        } => on(state, order, *expected_version, now, |work| {
            work.readdress(address)
        }),
        Command::Refund { order, amount } => {
            on(state, order, None, now, |work| work.refund(*amount))
        }
        Command::Settle {
            order,
            amount,
            note,
        } => on(state, order, None, now, |work| work.settle(*amount, note)),
        Command::RecordPayment { order, outcome } => {
            on(state, order, None, now, |work| work.record_payment(outcome))
        }
        Command::RecordRefund {
            order,
            number,
            outcome,
        } => on(state, order, None, now, |work| {
            work.record_refund(*number, outcome)
        }),
    }
}

/// Gives up the orders whose holds have run out in `decision`.
pub(in crate::domain) fn give_up_expired(state: &State, decision: &mut Decision, now: Timestamp) {
    let expired = decision.reservations.iter().filter_map(|reservation| {
        let gone = reservation.state == ReservationState::Expired;
        reservation.order_id.as_ref().filter(|_| gone)
    });
    let mut given_up = Vec::new();
    for order in expired.filter_map(|id| state.orders.get(id.as_str())) {
        let mut work = Work::new(state, Order::clone(order), now);
        work.fail(
            "payment_timeout",
            "its units were held no longer before it was paid",
        );
        work.note(EventKind::Expired);
        given_up.append(&mut work.events);
    }
    decision.orders.append(&mut given_up);
}

/// What becomes of a command about one order.
pub(super) type Outcome = Result<ItemResult, Rejection>;

/// Decides about one order that exists and is at the version the caller saw.
fn on(
    state: &State,
    id: &OrderId,
    expected_version: Option<u64>,
    now: Timestamp,
    step: impl FnOnce(&mut Work<'_>) -> Outcome,
) -> Decision {
    let Some(order) = state.orders.get(id.as_str()) else {
        return Decision::refused(Rejection::OrderNotFound {
            order_id: id.clone(),
        });
    };
    if let Some(given) = expected_version
        && given != order.version
    {
        return Decision::refused(Rejection::OrderVersionConflict {
            order_id: id.clone(),
            given,
            version: order.version,
            status: order.status,
        });
    }
    let mut work = Work::new(state, Order::clone(order), now);
    match step(&mut work) {
        Ok(result) => work.finish(result),
        Err(rejection) => Decision::refused(rejection),
    }
}

/// An order on its way to its next version, and the stock that goes with it.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) draft: Draft<'a>,
    pub(super) order: Order,
    pub(super) now: Timestamp,
    /// Whether it was known before what becomes of the order.
    was_decided: bool,
    events: Vec<Event>,
}

impl<'a> Work<'a> {
    pub(super) fn new(state: &'a State, order: Order, now: Timestamp) -> Self {
        Self {
            draft: Draft::new(&state.inventory, now),
            was_decided: order.decided_at.is_some(),
            order,
            now,
            events: Vec::new(),
        }
    }

    /// The decision that came of it.
    pub(super) fn finish(self, result: ItemResult) -> Decision {
        Decision {
            results: vec![result],
            orders: self.events,
            ..self.draft.decision
        }
    }

    /// Writes down what has just happened to the order.
    pub(super) fn note(&mut self, kind: EventKind) {
        self.note_more(kind, None, None);
    }

    pub(super) fn note_more(
        &mut self,
        kind: EventKind,
        attempt: Option<u32>,
        detail: Option<Arc<str>>,
    ) {
        let order = &mut self.order;
        order.version = order.version.saturating_add(1);
        order.updated_at = self.now;
        // What becomes of it is known with the last event of the decision.
        if !self.was_decided && order.status.is_decided() {
            order.decided_at = Some(self.now);
            order.decided_version = Some(order.version);
        }
        self.events.push(Event {
            kind,
            order: Arc::new(order.clone()),
            attempt,
            detail,
        });
    }

    pub(super) fn fail(&mut self, code: &str, message: &str) {
        self.order.status = OrderStatus::Failed;
        self.order.failure = Some(Failure {
            code: code.into(),
            message: message.into(),
        });
    }

    /// The order is paid: its units are its buyer's, and leave the shelf if that was wanted.
    pub(super) fn paid(&mut self, attempt: Option<u32>) {
        self.order.status = OrderStatus::Paid;
        self.note_more(EventKind::Paid, attempt, None);
        if self.order.confirm {
            self.confirm();
        } else if let Some(hold) = self.hold() {
            self.draft.decision.reservations.push(Reservation {
                expires_at: None,
                ..hold
            });
        }
    }

    fn confirm(&mut self) {
        self.end_hold(ReservationState::Committed);
        self.order.status = OrderStatus::Confirmed;
        self.note(EventKind::Confirmed);
    }

    /// The order's hold, if its units are still held.
    fn hold(&self) -> Option<Reservation> {
        let id = self.order.reservation_id.as_ref()?;
        let hold = self.draft.reservation(id.as_str())?;
        hold.is_active().then(|| hold.clone())
    }

    pub(super) fn end_hold(&mut self, to: ReservationState) {
        if let Some(hold) = self.hold() {
            self.draft.resolve(&hold, to);
        }
    }

    fn transition(&mut self, to: Transition) -> Outcome {
        let status = self.order.status;
        if status == to.leads_to() {
            return Ok(ItemResult::Unchanged);
        }
        if !status.allowed().contains(&to.leads_to()) {
            return Err(Rejection::IllegalTransition {
                order_id: self.order.order_id.clone(),
                status,
                wanted: to.leads_to(),
            });
        }
        match to {
            Transition::Confirm => self.confirm(),
            Transition::Cancel => self.cancel(),
            Transition::Complete => {
                self.order.status = OrderStatus::Completed;
                self.note(EventKind::Completed);
            }
        }
        Ok(ItemResult::Applied(0))
    }

    /// Gives back stock and money, each once: a hold ends once, and what is refundable falls by what
    /// is sent on its way.
    fn cancel(&mut self) {
        let mut detail = None;
        if self.order.status == OrderStatus::Confirmed {
            let lines = self.order.lines();
            if let Some(id) = &self.order.reservation_id {
                let gone = self.draft.bring_back(&lines, id, &self.order.order_id);
                detail = units_of_deleted(&gone);
            }
        } else {
            self.end_hold(ReservationState::Released);
        }
        self.order.status = OrderStatus::Cancelled;
        self.note_more(EventKind::Cancelled, None, detail);
        self.give_back_rest();
    }

    fn readdress(&mut self, address: &super::Address) -> Outcome {
        let status = self.order.status;
        match status {
            OrderStatus::Pending
            | OrderStatus::Reserved
            | OrderStatus::Undecided
            | OrderStatus::Paid => {}
            OrderStatus::Confirmed
            | OrderStatus::Completed
            | OrderStatus::Failed
            | OrderStatus::Cancelled => {
                return Err(Rejection::OrderSettled {
                    order_id: self.order.order_id.clone(),
                    status,
                });
            }
        }
        if self.order.shipping_address.as_ref() == Some(address) {
            return Ok(ItemResult::Unchanged);
        }
        self.order.shipping_address = Some(address.clone());
        self.note(EventKind::AddressChanged);
        Ok(ItemResult::Applied(0))
    }
}

/// Says whose units have come back to no stock.
fn units_of_deleted(gone: &[&Line]) -> Option<Arc<str>> {
    let units = |line: &&Line| format!("{} of {}", line.quantity, line.product_id);
    let units: Vec<String> = gone.iter().map(units).collect();
    let said = || {
        format!(
            "not added to any stock, deleted meanwhile: {}",
            units.join(", ")
        )
    };
    (!units.is_empty()).then(|| said().into())
}
