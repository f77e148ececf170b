//! The money side of an order.
//!
//! A payment is charged at most once and given back at most as far as it was charged. What is known
//! of it is what the provider has said; [`PaymentStatus::Requested`] and [`PaymentStatus::Unknown`]
//! both mean that it may have been charged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::ids::PaymentId;
use crate::domain::money::Money;
use crate::limits;

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The provider is being asked, or is about to be.
    Requested,
    /// The provider was asked and nobody knows what came of it.
    Unknown,
    /// Charged.
    Approved,
    /// Not charged: the provider refused.
    Declined,
    /// Not charged: it was called off before.
    Voided,
    /// Part of it was given back.
    PartlyRefunded,
    /// All of it was given back.
    Refunded,
    /// The provider refuses to give it back; somebody has to look.
    RefundFailed,
    /// What the provider refused to give back was given back by other means.
    Settled,
}

/// Money on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// The first refund of a payment is 1; names it to the provider.
    pub number: u32,
    /// How much.
    pub amount: Money,
    /// Under which of its keys the provider is asked; the first is 1. See [`Refund::key_is_spent`].
    #[serde(default = "first_key", skip_serializing_if = "is_first_key")]
    pub key_number: u32,
    /// Since when that key is known to be spent: its answer is an old failure, and stays that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_since: Option<Timestamp>,
    /// Times it was written down that the provider gave no clear answer.
    #[serde(default, skip_serializing_if = "is_never")]
    pub attempts: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_never(times: &u32) -> bool {
    *times == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_nothing(amount: &Money) -> bool {
    *amount == Money::ZERO
}

/// Whether an unclear answer is to be written down again, of which `written` are and the last one, or
/// whatever else happened to the order, at `last`. Each wait is twice as long as the one before, from
/// [`limits::UNCLEAR_AGAIN`] on, so a provider that is away for a year costs an order a few records.
pub(super) fn is_due_again(written: u32, last: Timestamp, now: Timestamp) -> bool {
    let factor = 2_u128.saturating_pow(written.saturating_sub(1));
    let wait = limits::UNCLEAR_AGAIN.as_millis().saturating_mul(factor);
    written == 0 || u128::from(now.millis_since(last).unsigned_abs()) >= wait
}

const fn first_key() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_first_key(number: &u32) -> bool {
    *number == first_key()
}

impl Refund {
    const fn new(number: u32, amount: Money) -> Self {
        Self {
            number,
            amount,
            key_number: first_key(),
            spent_since: None,
            attempts: 0,
        }
    }

    /// Whether a further old failure as the answer to its key tells nothing: it is known to be spent, and
    /// the wait for the next one is not over.
    pub(super) fn is_known_spent(&self, now: Timestamp) -> bool {
        self.spent_since
            .is_some_and(|since| !wait_is_over(since, now))
    }

    /// Notes that the provider keeps a failure as the answer to the key in use, and has no such
    /// refund. After [`limits::REFUND_KEY_WAIT`] of that it is asked for under another key; returns
    /// whether it is now.
    ///
    /// The wait counts from the first such answer and not from the first attempt, which may have been
    /// long before anything arrived. It is there for what the failed call set going and the provider
    /// finishes later: whoever looked before that would give the money back twice.
    pub(super) fn key_is_spent(&mut self, now: Timestamp) -> bool {
        let since = *self.spent_since.get_or_insert(now);
        let is_over = wait_is_over(since, now);
        if is_over {
            self.key_number = self.key_number.saturating_add(1);
            self.spent_since = None;
        }
        is_over
    }
}

fn wait_is_over(since: Timestamp, now: Timestamp) -> bool {
    let waited = u128::from(now.millis_since(since).unsigned_abs());
    waited >= limits::REFUND_KEY_WAIT.as_millis()
}

/// A payment, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id, which is also its key at the provider.
    pub payment_id: PaymentId,
    /// How it stands.
    pub status: PaymentStatus,
    /// What is or was to be charged.
    pub amount: Money,
    /// The provider's name for the charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<str>>,
    /// The bank's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<Arc<str>>,
    /// Times the provider was asked for the charge, or to call it off, and what came of it was recorded.
    #[serde(default)]
    pub attempts: u32,
    /// What was given back.
    #[serde(default)]
    pub refunded_amount: Money,
    /// What the provider refused to give back and somebody says was given back by other means.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub settled_amount: Money,
    /// What is on its way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
    /// Refunds so far, the one on its way included.
    #[serde(default)]
    pub refunds: u32,
}

impl Payment {
    /// A payment that is about to be asked for.
    #[must_use]
    pub const fn requested(payment_id: PaymentId, amount: Money) -> Self {
        Self {
            payment_id,
            status: PaymentStatus::Requested,
            amount,
            reference: None,
            authorization_code: None,
            attempts: 0,
            refunded_amount: Money::ZERO,
            settled_amount: Money::ZERO,
            refund: None,
            refunds: 0,
        }
    }

    /// Whether it was charged, whatever was given back since.
    #[must_use]
    pub const fn is_charged(&self) -> bool {
        match self.status {
            PaymentStatus::Approved
            | PaymentStatus::PartlyRefunded
            | PaymentStatus::Refunded
            | PaymentStatus::RefundFailed
            | PaymentStatus::Settled => true,
            PaymentStatus::Requested
            | PaymentStatus::Unknown
            | PaymentStatus::Declined
            | PaymentStatus::Voided => false,
        }
    }

    /// Whether nobody knows yet whether it was charged.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(
            self.status,
            PaymentStatus::Requested | PaymentStatus::Unknown
        )
    }

    /// What of the charge has not been given back, nor is on its way.
    #[must_use]
    pub fn refundable(&self) -> Money {
        if !self.is_charged() {
            return Money::ZERO;
        }
        let coming = self
            .refund
            .as_ref()
            .map_or(0, |refund| refund.amount.minor());
        let gone = self.given_back().saturating_add(coming);
        Money::from_minor(self.amount.minor().saturating_sub(gone)).unwrap_or_default()
    }

    /// What has been given back, by the provider or otherwise, in hundredths.
    const fn given_back(&self) -> i64 {
        let back = self.refunded_amount.minor();
        back.saturating_add(self.settled_amount.minor())
    }

    /// The refund on its way was given.
    pub(super) fn give(&mut self, refund: &Refund) {
        self.refund = None;
        let back = self.refunded_amount.minor();
        let back = back.saturating_add(refund.amount.minor());
        self.refunded_amount = Money::from_minor(back).unwrap_or(self.amount);
        self.status = if self.given_back() >= self.amount.minor() {
            PaymentStatus::Refunded
        } else {
            PaymentStatus::PartlyRefunded
        };
    }

    /// `amount`, at most what is refundable, was given back by other means. That closes the refusal,
    /// unless `all_is_owed` and some of it is still missing.
    pub(super) fn settle(&mut self, amount: Money, all_is_owed: bool) {
        let settled = self.settled_amount.minor();
        let settled = settled.saturating_add(amount.minor());
        self.settled_amount = Money::from_minor(settled).unwrap_or(self.amount);
        if self.refundable() == Money::ZERO || !all_is_owed {
            self.status = PaymentStatus::Settled;
        }
    }

    /// Whether the provider has refused to give money back and nothing is on its way: somebody has to
    /// look.
    #[must_use]
    pub const fn is_refund_failed(&self) -> bool {
        matches!(self.status, PaymentStatus::RefundFailed) && self.refund.is_none()
    }

    /// Sends `amount` on its way back.
    pub(super) fn give_back(&mut self, amount: Money) {
        self.refunds = self.refunds.saturating_add(1);
        self.refund = Some(Refund::new(self.refunds, amount));
    }
}

/// What the provider said to a charge, or to calling one off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PaymentOutcome {
    /// It is charged.
    Approved {
        /// The provider's name for it.
        reference: Arc<str>,
        /// The bank's word.
        authorization_code: Option<Arc<str>>,
    },
    /// It is not and will not be.
    Declined {
        /// A stable word.
        code: Arc<str>,
        /// A sentence for people.
        message: Arc<str>,
    },
    /// It was called off and will not be charged.
    Voided,
    /// Nobody knows.
    Unknown {
        /// What happened to the question.
        reason: Arc<str>,
    },
}

/// What the provider said to a refund.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefundOutcome {
    /// The provider answers this key with an old failure, and has no such refund at present.
    KeySpent {
        /// Which of the refund's keys.
        key_number: u32,
        /// The old failure.
        reason: Arc<str>,
    },
    /// The money is back.
    Refunded {
        /// The provider's name for it.
        reference: Arc<str>,
    },
    /// It will not be.
    Refused {
        /// A stable word.
        code: Arc<str>,
        /// A sentence for people.
        message: Arc<str>,
    },
    /// Nobody knows.
    Unknown {
        /// What happened to the question.
        reason: Arc<str>,
    },
}
