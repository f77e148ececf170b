//! Orders: what a customer buys, the units held for it, and its money.
//!
//! ```text
//!  place ──▶ reserved ──▶ paid ──▶ confirmed ──▶ completed
//!    │          │  ▲        │          │
//!    │     undecided│        └─ cancel ─┴─▶ cancelled
//!    └──▶ failed ◀──┘   (also from reserved and undecided)
//! ```
//!
//! Placing an order and holding its units is one decision, so inside the ledger there is no saga.
//! Only money lives elsewhere, and a call to it has three outcomes: it was paid, it was not, or nobody
//! knows. The third is a state of its own (`undecided`), which ends by asking again under the same
//! key, never by guessing. An order whose hold runs out while its payment is open is given up, and
//! money that turns out to have been taken after all goes back.
//!
//! [`next_step`] says what the outside still has to do about an order, from the order alone;
//! [`decide`](decide::decide) says what its outcome leads to. Between them lies one durable record
//! each time, so that a process that dies anywhere goes on from what was recorded, and does a step
//! again at worst, under the same key.
//!
//! What must stay true: an order that has ended holds no units; money that was taken for an order
//! that did not come about goes back; no order is both charged and released without the refund being
//! on its way. [`next_step`] does not return `None` before that is done, or before the provider has
//! refused to give back all that was left: then the payment says so
//! ([`Payment::is_refund_failed`]) until somebody asks again, or says that it was given back by other
//! means.

mod address;
pub mod command;
pub mod decide;
mod event;
mod paying;
mod payment;
mod placing;
mod saga;
mod state;
mod status;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::address::Address;
pub use self::command::{Command, Place, Transition};
pub use self::decide::decide;
pub use self::event::{Event, EventKind};
pub use self::payment::{Payment, PaymentOutcome, PaymentStatus, Refund, RefundOutcome};
pub use self::saga::{Step, next_step};
pub use self::state::{OrderEntry, Orders};
pub use self::status::OrderStatus;

use crate::clock::Timestamp;
use crate::domain::ids::{CustomerId, OrderId, ProductId, ReservationId, StoreId};
use crate::domain::inventory::Line;
use crate::domain::money::Money;

/// One product of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Which product.
    pub product_id: ProductId,
    /// How many units; at least 1.
    pub quantity: i64,
    /// Price of one unit when the order was placed.
    pub price: Money,
    /// Price of all units.
    pub subtotal: Money,
}

/// Why an order came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word.
    pub code: Arc<str>,
    /// A sentence for people.
    pub message: Arc<str>,
}

/// An order, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub order_id: OrderId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// The shop that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// What is bought: one item a product.
    pub items: Arc<[Item]>,
    /// What it costs.
    pub total_amount: Money,
    /// The currency of every amount, three letters.
    pub currency: Arc<str>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<Address>,
    /// How it is paid, for the payment provider to understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<Arc<str>>,
    /// Whether it is confirmed as soon as it is paid.
    pub confirm: bool,
    /// How it stands.
    pub status: OrderStatus,
    /// What holds its units; none if there never were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<ReservationId>,
    /// Its money; none if it costs nothing or failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When this version came to be.
    pub updated_at: Timestamp,
    /// When it was first known what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// The version at which that was, which is what whoever placed it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_version: Option<u64>,
    /// +1 with each event.
    pub version: u64,
}

impl Order {
    /// Whether nothing more can become of it and nothing is left to do about it, for people either.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let payment = self.payment.as_ref();
        let is_refund_failed = payment.is_some_and(Payment::is_refund_failed);
        self.status.is_end() && next_step(self).is_none() && !is_refund_failed
    }

    /// The units it is about.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |item: &Item| Line {
            product_id: item.product_id.clone(),
            quantity: item.quantity,
        };
        self.items.iter().map(line).collect()
    }
}
