//! `(state, command, now) → decision`, pure, for orders.
//!
//! An order and the units it holds change in one decision, so no crash can come between them. What
//! the outside did is recorded by [`Command::RecordPayment`] and [`Command::RecordRefund`]; both are
//! refused as [`Rejection::NotAwaited`] when the order no longer waits for them, so a step that was
//! done twice is recorded once.
//!
//! Longer than most files: one function for each command, and none is of use without the others.

use std::sync::Arc;

use super::command::{Command, Transition};
use super::event::{Event, EventKind};
use super::payment::{Payment, PaymentOutcome, PaymentStatus, RefundOutcome};
use super::placing::place;
use super::{Failure, Order, OrderStatus};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::{OrderId, PaymentId};
use crate::domain::inventory::{Draft, Reservation, ReservationState};
use crate::domain::money::Money;
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
type Outcome = Result<ItemResult, Rejection>;

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

    fn end_hold(&mut self, to: ReservationState) {
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
        if self.order.status == OrderStatus::Confirmed {
            let lines = self.order.lines();
            if let Some(id) = &self.order.reservation_id {
                self.draft.bring_back(&lines, id, &self.order.order_id);
            }
        } else {
            self.end_hold(ReservationState::Released);
        }
        self.order.status = OrderStatus::Cancelled;
        self.note(EventKind::Cancelled);
        self.give_back_rest();
    }

    /// Whether the buyer gets nothing for their money.
    const fn came_to_nothing(&self) -> bool {
        matches!(
            self.order.status,
            OrderStatus::Cancelled | OrderStatus::Failed
        )
    }

    /// Sends what is left of the charge on its way back, unless something is on its way already: then
    /// that is done when it has ended, one way or the other.
    fn give_back_rest(&mut self) {
        let Some(payment) = &mut self.order.payment else {
            return;
        };
        let rest = payment.refundable();
        if rest > Money::ZERO && payment.refund.is_none() {
            payment.give_back(rest);
            self.note(EventKind::RefundRequested);
        }
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

    fn payment(&mut self) -> Result<&mut Payment, Rejection> {
        let order_id = self.order.order_id.clone();
        self.order
            .payment
            .as_mut()
            .ok_or(Rejection::NotAwaited { order_id })
    }

    fn refund(&mut self, amount: Option<Money>) -> Outcome {
        let Some(payment) = &mut self.order.payment else {
            let order_id = &self.order.order_id;
            let none = PaymentId::parse(order_id.as_str());
            return match none {
                Ok(payment_id) => Err(not_refundable(
                    &payment_id,
                    order_id,
                    "nothing was to be paid",
                )),
                Err(_) => Err(Rejection::NotAwaited {
                    order_id: order_id.clone(),
                }),
            };
        };
        let id = payment.payment_id.clone();
        let refused = |reason: &str| Err(not_refundable(&id, &self.order.order_id, reason));
        if !payment.is_charged() {
            return refused("it was not charged");
        }
        if payment.refund.is_some() {
            return refused("a refund is on its way");
        }
        let rest = payment.refundable();
        let amount = amount.unwrap_or(rest);
        if amount == Money::ZERO {
            return refused("nothing of it is left");
        }
        if amount > rest {
            return refused(&format!("only {rest} of it is left"));
        }
        payment.give_back(amount);
        self.note(EventKind::RefundRequested);
        Ok(ItemResult::Applied(0))
    }

    fn record_payment(&mut self, outcome: &PaymentOutcome) -> Outcome {
        let order_id = self.order.order_id.clone();
        let wanted = matches!(
            self.order.status,
            OrderStatus::Reserved | OrderStatus::Undecided
        );
        let payment = self.payment()?;
        if !payment.is_open() {
            return Err(Rejection::NotAwaited { order_id });
        }
        payment.attempts = payment.attempts.saturating_add(1);
        let attempt = Some(payment.attempts);
        match outcome {
            PaymentOutcome::Approved {
                reference,
                authorization_code,
            } => {
                payment.status = PaymentStatus::Approved;
                payment.reference = Some(Arc::clone(reference));
                payment.authorization_code.clone_from(authorization_code);
                if wanted {
                    self.paid(attempt);
                } else {
                    self.note_more(EventKind::ChargedLate, attempt, None);
                    self.give_back_rest();
                }
            }
            PaymentOutcome::Declined { code, message } => {
                payment.status = PaymentStatus::Declined;
                if wanted {
                    self.end_hold(ReservationState::Released);
                    self.fail(code, message);
                }
                let detail = Some(Arc::clone(message));
                self.note_more(EventKind::Declined, attempt, detail);
            }
            PaymentOutcome::Voided if wanted => return Err(Rejection::NotAwaited { order_id }),
            PaymentOutcome::Voided => {
                payment.status = PaymentStatus::Voided;
                self.note_more(EventKind::Voided, attempt, None);
            }
            PaymentOutcome::Unknown { reason } => {
                payment.status = PaymentStatus::Unknown;
                if wanted {
                    self.order.status = OrderStatus::Undecided;
                }
                let detail = Some(Arc::clone(reason));
                self.note_more(EventKind::PaymentUnknown, attempt, detail);
            }
        }
        Ok(ItemResult::Applied(0))
    }

    fn record_refund(&mut self, number: u32, outcome: &RefundOutcome) -> Outcome {
        let (order_id, now) = (self.order.order_id.clone(), self.now);
        let payment = self.payment()?;
        let Some(refund) = payment.refund.clone().filter(|it| it.number == number) else {
            return Err(Rejection::NotAwaited { order_id });
        };
        let attempt = Some(number);
        match outcome {
            RefundOutcome::Refunded { reference } => {
                payment.refund = None;
                let back = payment.refunded_amount.minor();
                let back = back.saturating_add(refund.amount.minor());
                payment.refunded_amount = Money::from_minor(back).unwrap_or(payment.amount);
                payment.status = if payment.refunded_amount >= payment.amount {
                    PaymentStatus::Refunded
                } else {
                    PaymentStatus::PartlyRefunded
                };
                self.note_more(EventKind::Refunded, attempt, Some(Arc::clone(reference)));
                if self.came_to_nothing() {
                    self.give_back_rest();
                }
            }
            RefundOutcome::Refused { message, .. } => {
                payment.refund = None;
                payment.status = PaymentStatus::RefundFailed;
                // All of it was asked for: asking once more would be the same question.
                let is_final = refund.amount >= payment.refundable();
                self.note_more(EventKind::RefundFailed, attempt, Some(Arc::clone(message)));
                if self.came_to_nothing() && !is_final {
                    self.give_back_rest();
                }
            }
            RefundOutcome::KeySpent { key_number, reason } => {
                let of_key = payment.refund.as_mut();
                let of_key = of_key.filter(|refund| refund.key_number == *key_number);
                let refund = of_key.ok_or(Rejection::NotAwaited { order_id })?;
                let detail = if refund.key_is_spent(now) {
                    Arc::from(format!("{reason}; it is asked for under another key"))
                } else {
                    Arc::clone(reason)
                };
                self.note_more(EventKind::RefundUnknown, attempt, Some(detail));
            }
            RefundOutcome::Unknown { reason } => {
                self.note_more(EventKind::RefundUnknown, attempt, Some(Arc::clone(reason)));
            }
        }
        Ok(ItemResult::Applied(0))
    }
}

fn not_refundable(payment_id: &PaymentId, order_id: &OrderId, reason: &str) -> Rejection {
    Rejection::NotRefundable {
        payment_id: payment_id.clone(),
        order_id: Some(order_id.clone()),
        reason: reason.into(),
    }
}
