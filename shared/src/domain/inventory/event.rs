//! What happened to one product.

use std::fmt;
use std::sync::Arc;

use super::product::Product;
use crate::domain::ids::{OrderId, ReservationId};

/// What an event is to a reader that only keeps the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The product did not exist before.
    Created,
    /// The product changed.
    Updated,
    /// The product is gone; the event carries its last state.
    Deleted,
}

impl EventKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "product_created",
            Self::Updated => "product_updated",
            Self::Deleted => "product_deleted",
        }
    }

    /// Parses the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Updated, Self::Deleted]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Parses the word on the wire.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// Why an event happened.
    MovementKind {
        /// Units sold.
        Sale = "sale",
        /// A customer brought units back.
        SaleReturned = "sale_returned",
        /// A delivery arrived.
        Received = "received",
        /// The figure was put right: found, lost, damaged, corrected, or set by an operator.
        Adjusted = "adjusted",
        /// Somebody counted the shelf.
        Counted = "counted",
        /// Units were promised to an order.
        Reserved = "reserved",
        /// Promised units left the house.
        Committed = "committed",
        /// A promise was given back.
        Released = "released",
        /// A promise ran out.
        Expired = "expired",
        /// Units were promised to a shop.
        Allotted = "allotted",
        /// A shop gave promised units back.
        Returned = "returned",
        /// A shop's sales were booked against its promise.
        Settled = "settled",
        /// The product was created.
        Created = "created",
        /// The catalogue entry changed.
        Edited = "edited",
        /// The product was deleted.
        Deleted = "deleted",
    }
);

words!(
    /// Why a caller moves stock.
    Reason {
        /// Units sold; the default for a negative delta.
        Sale = "sale",
        /// Units broken or spoilt.
        Damaged = "damaged",
        /// Units missing.
        Lost = "lost",
        /// A customer brought units back.
        Returned = "returned",
        /// A delivery.
        Received = "received",
        /// Units that turned up.
        Found = "found",
        /// The figure was wrong; either direction.
        Correction = "correction",
    }
);

impl Reason {
    /// Whether this reason can go with a change of `delta` units.
    #[must_use]
    pub const fn fits(self, delta: i64) -> bool {
        match self {
            Self::Sale | Self::Damaged | Self::Lost => delta < 0,
            Self::Returned | Self::Received | Self::Found => delta > 0,
            Self::Correction => delta != 0,
        }
    }

    /// What the event says happened.
    #[must_use]
    pub const fn kind(self) -> MovementKind {
        match self {
            Self::Sale => MovementKind::Sale,
            Self::Returned => MovementKind::SaleReturned,
            Self::Received => MovementKind::Received,
            Self::Damaged | Self::Lost | Self::Found | Self::Correction => MovementKind::Adjusted,
        }
    }
}

/// Why a product changed, as far as the rules know. Who asked, and with which key, is the
/// record's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// What happened.
    pub kind: MovementKind,
    /// Change of `onHand`, where it changed.
    pub delta: Option<i64>,
    /// Units of a reservation that this is about.
    pub quantity: Option<i64>,
    /// The reservation that this is about.
    pub reservation: Option<ReservationId>,
    /// The order that this is about.
    pub order: Option<OrderId>,
    /// The caller's reason.
    pub reason: Option<Reason>,
    /// The business document behind it.
    pub reference: Option<Arc<str>>,
    /// Free text.
    pub note: Option<Arc<str>>,
}

impl Movement {
    /// A movement of `kind` about which nothing else is known.
    #[must_use]
    pub const fn of(kind: MovementKind) -> Self {
        Self {
            kind,
            delta: None,
            quantity: None,
            reservation: None,
            order: None,
            reason: None,
            reference: None,
            note: None,
        }
    }

    /// The same with the change of `onHand`, unless that is 0.
    #[must_use]
    pub const fn with_delta(mut self, delta: i64) -> Self {
        self.delta = if delta == 0 { None } else { Some(delta) };
        self
    }
}

/// One change of one product, with the whole product as it stands afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Created, updated, deleted.
    pub kind: EventKind,
    /// The product after the change; for a deletion, its last state under a new version.
    pub product: Product,
    /// Why.
    pub movement: Movement,
}
