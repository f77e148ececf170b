//! What can be asked of orders, and what can be recorded about them.

use std::sync::Arc;

use super::payment::{PaymentOutcome, RefundOutcome};
use super::{Address, OrderStatus};
use crate::domain::ids::{CustomerId, OrderId, PaymentId, ReservationId, StoreId};
use crate::domain::inventory::{Line, Print};
use crate::domain::money::Money;

/// An order to be placed: its units are held in the same decision, or it fails in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The new order's id; central makes it for this one request.
    pub order: OrderId,
    /// The id of its hold, likewise.
    pub reservation: ReservationId,
    /// The id of its payment, likewise.
    pub payment: PaymentId,
    /// Who buys.
    pub customer: CustomerId,
    /// The shop that takes it.
    pub store: Option<StoreId>,
    /// What is bought; at least one line, products may repeat.
    pub lines: Vec<Line>,
    /// Where it goes.
    pub address: Option<Address>,
    /// How it is paid.
    pub method: Option<Arc<str>>,
    /// Whether it is confirmed as soon as it is paid.
    pub confirm: bool,
    /// What the buyer was shown that it costs.
    pub expected_total: Option<Money>,
    /// The currency of the catalogue's prices.
    pub currency: Arc<str>,
    /// Milliseconds that its units are held for want of payment.
    pub ttl_millis: i64,
    /// Whether the payment provider can be asked at the moment. If not, nothing is begun; an order
    /// that was placed before under the same key is answered all the same.
    pub is_payable: bool,
}

/// Where a caller takes an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Its units leave the shelf.
    Confirm,
    /// It is called off.
    Cancel,
    /// It is handed over.
    Complete,
}

impl Transition {
    /// Where that leads.
    #[must_use]
    pub const fn leads_to(self) -> OrderStatus {
        match self {
            Self::Confirm => OrderStatus::Confirmed,
            Self::Cancel => OrderStatus::Cancelled,
            Self::Complete => OrderStatus::Completed,
        }
    }
}

/// A command about one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new order.
    Place(Box<Place>),
    /// Takes it on.
    Transition {
        /// Which order.
        order: OrderId,
        /// Where to.
        to: Transition,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Sends it elsewhere.
    Readdress {
        /// Which order.
        order: OrderId,
        /// Where to.
        address: Address,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Asks for money back.
    Refund {
        /// Which order.
        order: OrderId,
        /// How much; `None` is all that is left.
        amount: Option<Money>,
    },
    /// Says that what the provider refused to give back was given back by other means.
    Settle {
        /// Which order.
        order: OrderId,
        /// How much; `None` is all that is left, of an order that came to nothing.
        amount: Option<Money>,
        /// How, for people.
        note: Arc<str>,
    },
    /// Records what the payment provider said to a charge or to calling it off.
    RecordPayment {
        /// Which order.
        order: OrderId,
        /// What it said.
        outcome: PaymentOutcome,
    },
    /// Records what the payment provider said to a refund.
    RecordRefund {
        /// Which order.
        order: OrderId,
        /// Which refund.
        number: u32,
        /// What it said.
        outcome: RefundOutcome,
    },
}

impl Command {
    /// The word for this kind of command in records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Transition { to, .. } => match to {
                Transition::Confirm => "confirm",
                Transition::Cancel => "cancel",
                Transition::Complete => "complete",
            },
            Self::Readdress { .. } => "readdress",
            Self::Refund { .. } => "refund",
            Self::Settle { .. } => "settle",
            Self::RecordPayment { .. } => "record_payment",
            Self::RecordRefund { .. } => "record_refund",
        }
    }

    /// Writes every field that says what was asked for.
    pub(in crate::domain) fn print(&self, print: &mut Print) {
        match self {
            Self::Place(place) => print_place(place, print),
            Self::Transition {
                order,
                to: _,
                expected_version,
            } => {
                print.text(order.as_str());
                print.version(*expected_version);
            }
            Self::Readdress {
                order,
                address,
                expected_version,
            } => {
                print.text(order.as_str());
                print.text(address.as_json());
                print.version(*expected_version);
            }
            Self::Refund { order, amount } => {
                print.text(order.as_str());
                print.optional_integer(amount.map(Money::minor));
            }
            Self::Settle {
                order,
                amount,
                note,
            } => {
                print.text(order.as_str());
                print.optional_integer(amount.map(Money::minor));
                print.text(note);
            }
            // Those come from the saga, which has no keys.
            Self::RecordPayment { order, outcome: _ } => print.text(order.as_str()),
            Self::RecordRefund {
                order,
                number,
                outcome: _,
            } => {
                print.text(order.as_str());
                print.integer(i64::from(*number));
            }
        }
    }
}

fn print_place(place: &Place, print: &mut Print) {
    let Place {
        // Made by central for this one request.
        order: _,
        reservation: _,
        payment: _,
        customer,
        store,
        lines,
        address,
        method,
        confirm,
        expected_total,
        // Settings of the service.
        currency: _,
        ttl_millis: _,
        // The state of a breaker.
        is_payable: _,
    } = place;
    print.text(customer.as_str());
    print.option(store.as_ref().map(StoreId::as_str));
    for line in lines {
        print.text(line.product_id.as_str());
        print.integer(line.quantity);
    }
    print.option(address.as_ref().map(Address::as_json));
    print.option(method.as_deref());
    print.text(if *confirm { "confirm" } else { "" });
    print.optional_integer(expected_total.map(Money::minor));
}
