//! The money side of an order.
//!
//! A payment is charged at most once and given back at most as far as it was charged. What is known
//! of it is what the provider has said; [`PaymentStatus::Requested`] and [`PaymentStatus::Unknown`]
//! both mean that it may have been charged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::PaymentId;
use crate::domain::money::Money;

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
}

/// Money on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// The first refund of a payment is 1; names it to the provider.
    pub number: u32,
    /// How much.
    pub amount: Money,
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
            | PaymentStatus::RefundFailed => true,
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
        let gone = self.refunded_amount.minor().saturating_add(coming);
        Money::from_minor(self.amount.minor().saturating_sub(gone)).unwrap_or_default()
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
        self.refund = Some(Refund {
            number: self.refunds,
            amount,
        });
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
