//! What happened to one order.

use std::sync::Arc;

use super::Order;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was placed and its units are held.
    Reserved,
    /// It was placed, and its units were not there.
    Refused,
    /// It was paid, or costs nothing.
    Paid,
    /// The provider refused to charge it.
    Declined,
    /// The provider was asked, and nobody knows what came of it.
    PaymentUnknown,
    /// Its units left the shelf.
    Confirmed,
    /// It was handed over.
    Completed,
    /// It was called off.
    Cancelled,
    /// Its hold ran out before it was paid.
    Expired,
    /// It goes elsewhere.
    AddressChanged,
    /// It turned out to have been charged after it was given up.
    ChargedLate,
    /// It is certain that nothing was charged.
    Voided,
    /// Money is to go back.
    RefundRequested,
    /// Money went back.
    Refunded,
    /// The provider was asked to give money back, and nobody knows what came of it.
    RefundUnknown,
    /// The provider refuses to give money back.
    RefundFailed,
    /// What the provider refused to give back was given back by other means.
    RefundSettled,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Reserved,
        Self::Refused,
        Self::Paid,
        Self::Declined,
        Self::PaymentUnknown,
        Self::Confirmed,
        Self::Completed,
        Self::Cancelled,
        Self::Expired,
        Self::AddressChanged,
        Self::ChargedLate,
        Self::Voided,
        Self::RefundRequested,
        Self::Refunded,
        Self::RefundUnknown,
        Self::RefundFailed,
        Self::RefundSettled,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "order_reserved",
            Self::Refused => "order_refused",
            Self::Paid => "order_paid",
            Self::Declined => "payment_declined",
            Self::PaymentUnknown => "payment_unknown",
            Self::Confirmed => "order_confirmed",
            Self::Completed => "order_completed",
            Self::Cancelled => "order_cancelled",
            Self::Expired => "order_expired",
            Self::AddressChanged => "address_changed",
            Self::ChargedLate => "payment_charged_late",
            Self::Voided => "payment_voided",
            Self::RefundRequested => "refund_requested",
            Self::Refunded => "refunded",
            Self::RefundUnknown => "refund_unknown",
            Self::RefundFailed => "refund_failed",
            Self::RefundSettled => "refund_settled",
        }
    }

    /// Parses the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One thing that happened to an order, with the whole order as it stands afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The order after it.
    pub order: Arc<Order>,
    /// Which time the provider was asked.
    pub attempt: Option<u32>,
    /// More about it, for people.
    pub detail: Option<Arc<str>>,
}
