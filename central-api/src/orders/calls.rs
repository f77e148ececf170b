//! From a step of the saga to a call, and from its end to what is recorded.
//!
//! The keys follow from the order alone: the payment's id for its charge and for calling it off, the
//! same with the number of the refund, and of its key, for a refund. Asking twice is asking the same.

use std::sync::Arc;

use shared::domain::ids::CorrelationId;
use shared::domain::order::{self, Order, Payment, PaymentOutcome, Refund, RefundOutcome, Step};

use crate::payments::{
    self, ChargeOutcome, ChargeRequest, Doubt, NotSent, PaymentKey, PaymentProvider, RefundRequest,
    VoidOutcome,
};

/// What is to be recorded of a call.
#[derive(Debug)]
pub(super) struct Ended {
    /// The record.
    pub(super) command: order::Command,
    /// Whether the provider said what became of it.
    pub(super) is_known: bool,
    /// Whether nothing was even sent.
    pub(super) not_sent: Option<NotSent>,
    /// Whether the provider has accepted a refund and gives it in its own time.
    pub(super) is_in_hand: bool,
    /// The word in metrics.
    pub(super) outcome: &'static str,
}

impl Ended {
    /// The provider's word, if it has refused to give money back.
    pub(super) fn refused_refund(&self) -> Option<&str> {
        match &self.command {
            order::Command::RecordRefund {
                outcome: RefundOutcome::Refused { code, .. },
                ..
            } => Some(code),
            _ => None,
        }
    }
}

/// Takes `step` of `order`; `None` if the order cannot be named to a provider, which no order of
/// ours is.
pub(super) async fn take(
    provider: &dyn PaymentProvider,
    order: &Order,
    step: &Step,
    correlation: Option<CorrelationId>,
) -> Option<Ended> {
    let payment = order.payment.as_ref()?;
    match step {
        Step::Charge => {
            let request = charge(order, payment, correlation)?;
            Some(charged(order, provider.charge(&request).await))
        }
        Step::Void => {
            let request = charge(order, payment, correlation)?;
            Some(voided(order, provider.void(&request).await))
        }
        Step::Refund(refund) => {
            let request = refund_of(order, payment, refund, correlation)?;
            Some(refunded(order, refund, provider.refund(&request).await))
        }
    }
}

fn charge(
    order: &Order,
    payment: &Payment,
    correlation: Option<CorrelationId>,
) -> Option<ChargeRequest> {
    Some(ChargeRequest {
        key: PaymentKey::parse(payment.payment_id.as_str()).ok()?,
        order_id: Arc::from(order.order_id.as_str()),
        amount: payment.amount,
        currency: Arc::clone(&order.currency),
        method: order.payment_method.clone(),
        since: order.created_at,
        correlation,
    })
}

fn refund_of(
    order: &Order,
    payment: &Payment,
    refund: &Refund,
    correlation: Option<CorrelationId>,
) -> Option<RefundRequest> {
    let key = format!("{}-refund-{}", payment.payment_id, refund.number);
    Some(RefundRequest {
        key: PaymentKey::parse(&key).ok()?,
        key_number: refund.key_number,
        reference: payment.reference.clone()?,
        amount: refund.amount,
        currency: Arc::clone(&order.currency),
        // A refund is asked for after the order; earlier is allowed, and the same in every repetition.
        since: order.created_at,
        correlation,
    })
}

fn charged(order: &Order, outcome: ChargeOutcome) -> Ended {
    match outcome {
        ChargeOutcome::Approved(paid) => known(order, approved(paid)),
        ChargeOutcome::Declined { code, message } => known(
            order,
            PaymentOutcome::Declined {
                code: code.as_str().into(),
                message: message.as_str().into(),
            },
        ),
        ChargeOutcome::Unknown(doubt) => unknown(order, &doubt.to_string(), None),
        ChargeOutcome::NotSent(reason) => unknown(order, &reason.to_string(), Some(reason)),
    }
}

fn voided(order: &Order, outcome: VoidOutcome) -> Ended {
    match outcome {
        VoidOutcome::Voided => known(order, PaymentOutcome::Voided),
        VoidOutcome::Charged(paid) => known(order, approved(paid)),
        VoidOutcome::Unknown(doubt) => unknown(order, &doubt.to_string(), None),
        VoidOutcome::NotSent(reason) => unknown(order, &reason.to_string(), Some(reason)),
    }
}

fn refunded(order: &Order, refund: &Refund, outcome: payments::RefundOutcome) -> Ended {
    let is_in_hand = outcome == payments::RefundOutcome::Unknown(Doubt::Processing);
    let (outcome, is_known, not_sent) = match outcome {
        payments::RefundOutcome::Refunded { reference } => {
            (RefundOutcome::Refunded { reference }, true, None)
        }
        payments::RefundOutcome::Refused { code, message } => (
            RefundOutcome::Refused {
                code: code.as_str().into(),
                message: message.as_str().into(),
            },
            true,
            None,
        ),
        payments::RefundOutcome::KeySpent(doubt) => {
            let (key_number, reason) = (refund.key_number, doubt.to_string().into());
            (RefundOutcome::KeySpent { key_number, reason }, false, None)
        }
        payments::RefundOutcome::Unknown(doubt) => {
            let reason = doubt.to_string().into();
            (RefundOutcome::Unknown { reason }, false, None)
        }
        payments::RefundOutcome::NotSent(not_sent) => {
            let reason = not_sent.to_string().into();
            (RefundOutcome::Unknown { reason }, false, Some(not_sent))
        }
    };
    let word = match (&outcome, &not_sent) {
        (_, Some(_)) => "not_sent",
        (RefundOutcome::Refunded { .. }, None) => "refunded",
        (RefundOutcome::Refused { .. }, None) => "refused",
        (RefundOutcome::KeySpent { .. } | RefundOutcome::Unknown { .. }, None) => "unknown",
    };
    Ended {
        outcome: word,
        command: order::Command::RecordRefund {
            order: order.order_id.clone(),
            number: refund.number,
            outcome,
        },
        is_known,
        not_sent,
        is_in_hand,
    }
}

fn approved(paid: payments::Paid) -> PaymentOutcome {
    PaymentOutcome::Approved {
        reference: paid.reference,
        authorization_code: paid.authorization_code,
    }
}

fn known(order: &Order, outcome: PaymentOutcome) -> Ended {
    Ended {
        outcome: match outcome {
            PaymentOutcome::Approved { .. } => "approved",
            PaymentOutcome::Declined { .. } => "declined",
            PaymentOutcome::Voided => "voided",
            PaymentOutcome::Unknown { .. } => "unknown",
        },
        command: record(order, outcome),
        is_known: true,
        not_sent: None,
        is_in_hand: false,
    }
}

fn unknown(order: &Order, reason: &str, not_sent: Option<NotSent>) -> Ended {
    let reason = reason.into();
    Ended {
        outcome: if not_sent.is_some() {
            "not_sent"
        } else {
            "unknown"
        },
        command: record(order, PaymentOutcome::Unknown { reason }),
        is_known: false,
        not_sent,
        is_in_hand: false,
    }
}

fn record(order: &Order, outcome: PaymentOutcome) -> order::Command {
    order::Command::RecordPayment {
        order: order.order_id.clone(),
        outcome,
    }
}
