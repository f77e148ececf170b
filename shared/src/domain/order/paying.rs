//! What becomes of an order's money.
//!
//! What the provider said is recorded by [`Command::RecordPayment`] and [`Command::RecordRefund`]; both
//! are refused as [`Rejection::NotAwaited`] when the order no longer waits for them, so a step that was
//! done twice is recorded once. An answer that leaves as unclear what was unclear before is recorded at
//! ever longer intervals only; in between it is [`ItemResult::Unchanged`], which is no record.
//!
//! [`Command::RecordPayment`]: super::Command::RecordPayment
//! [`Command::RecordRefund`]: super::Command::RecordRefund

use std::sync::Arc;

use super::OrderStatus;
use super::decide::{Outcome, Work};
use super::event::EventKind;
use super::payment::{Payment, PaymentOutcome, PaymentStatus, Refund, RefundOutcome, is_due_again};
use crate::domain::decision::ItemResult;
use crate::domain::ids::{OrderId, PaymentId};
use crate::domain::inventory::ReservationState;
use crate::domain::money::Money;
use crate::domain::rejection::Rejection;

impl Work<'_> {
    /// Whether the buyer gets nothing for their money.
    const fn came_to_nothing(&self) -> bool {
        matches!(
            self.order.status,
            OrderStatus::Cancelled | OrderStatus::Failed
        )
    }

    /// Sends what is left of the charge on its way back, unless something is on its way already: then
    /// that is done when it has ended, one way or the other.
    pub(super) fn give_back_rest(&mut self) {
        let Some(payment) = &mut self.order.payment else {
            return;
        };
        let rest = payment.refundable();
        if rest > Money::ZERO && payment.refund.is_none() {
            payment.give_back(rest);
            self.note(EventKind::RefundRequested);
        }
    }

    fn payment(&mut self) -> Result<&mut Payment, Rejection> {
        let order_id = self.order.order_id.clone();
        self.order
            .payment
            .as_mut()
            .ok_or(Rejection::NotAwaited { order_id })
    }

    pub(super) fn refund(&mut self, amount: Option<Money>) -> Outcome {
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

    /// Somebody has given back by other means what the provider refuses to give back. Nothing undoes
    /// it.
    pub(super) fn settle(&mut self, amount: Option<Money>, note: &Arc<str>) -> Outcome {
        let order_id = self.order.order_id.clone();
        let all_is_owed = self.came_to_nothing();
        let payment = self.payment()?;
        let id = payment.payment_id.clone();
        let refused = |reason: &str| Err(not_refundable(&id, &order_id, reason));
        if payment.refund.is_some() {
            return refused("a refund is on its way");
        }
        if !payment.is_refund_failed() {
            return refused("the payment provider has not refused to give anything of it back");
        }
        let rest = payment.refundable();
        // What is owed of an order that came about, only the refusal's own amount says.
        let Some(amount) = amount.or(all_is_owed.then_some(rest)) else {
            return refused("the order came about, so the amount has to be said");
        };
        if amount > rest {
            return refused(&format!("only {rest} of it is left"));
        }
        payment.settle(amount, all_is_owed);
        self.note_more(EventKind::RefundSettled, None, Some(Arc::clone(note)));
        Ok(ItemResult::Applied(0))
    }

    pub(super) fn record_payment(&mut self, outcome: &PaymentOutcome) -> Outcome {
        let (order_id, now, last) = (self.order.order_id.clone(), self.now, self.order.updated_at);
        let wanted = matches!(
            self.order.status,
            OrderStatus::Reserved | OrderStatus::Undecided
        );
        let payment = self.payment()?;
        if !payment.is_open() {
            return Err(Rejection::NotAwaited { order_id });
        }
        if matches!(outcome, PaymentOutcome::Unknown { .. })
            && payment.status == PaymentStatus::Unknown
            && !is_due_again(payment.attempts, last, now)
        {
            return Ok(ItemResult::Unchanged);
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

    pub(super) fn record_refund(&mut self, number: u32, outcome: &RefundOutcome) -> Outcome {
        let (order_id, now, last) = (self.order.order_id.clone(), self.now, self.order.updated_at);
        let payment = self.payment()?;
        let Some(mut refund) = payment.refund.clone().filter(|it| it.number == number) else {
            return Err(Rejection::NotAwaited { order_id });
        };
        let attempt = Some(number);
        match outcome {
            RefundOutcome::Refunded { reference } => {
                payment.give(&refund);
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
                if refund.key_number != *key_number {
                    return Err(Rejection::NotAwaited { order_id });
                }
                if refund.is_known_spent(now) && !is_due_again(refund.attempts, last, now) {
                    return Ok(ItemResult::Unchanged);
                }
                let detail = if refund.key_is_spent(now) {
                    Arc::from(format!("{reason}; it is asked for under another key"))
                } else {
                    Arc::clone(reason)
                };
                self.refund_is_unclear(refund, detail);
            }
            RefundOutcome::Unknown { reason } => {
                if !is_due_again(refund.attempts, last, now) {
                    return Ok(ItemResult::Unchanged);
                }
                self.refund_is_unclear(refund, Arc::clone(reason));
            }
        }
        Ok(ItemResult::Applied(0))
    }

    /// The provider was asked for the refund on its way, once more without a clear answer.
    fn refund_is_unclear(&mut self, mut refund: Refund, detail: Arc<str>) {
        refund.attempts = refund.attempts.saturating_add(1);
        let number = refund.number;
        if let Some(payment) = &mut self.order.payment {
            payment.refund = Some(refund);
        }
        self.note_more(EventKind::RefundUnknown, Some(number), Some(detail));
    }
}

fn not_refundable(payment_id: &PaymentId, order_id: &OrderId, reason: &str) -> Rejection {
    Rejection::NotRefundable {
        payment_id: payment_id.clone(),
        order_id: Some(order_id.clone()),
        reason: reason.into(),
    }
}
