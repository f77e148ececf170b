//! The inventory rules.
//!
//! A product has stock *on hand*, of which some is *reserved* (promised to an order) and some
//! *allotted* (promised to a shop); what is left is *available*:
//!
//! ```text
//! available = onHand - reserved - allotted
//! ```
//!
//! A **promise** (a guarded delta, a reservation, an allotment) is refused if it would make
//! `available` negative. A **fact** (a count, a delivery, a sale that has happened) is always
//! recorded, and a shortfall that results is reported, never clamped.
//!
//! [`decide`](fn@decide) turns a [`Command`] into events or refusals,
//! [`Inventory::apply`](state::Inventory::apply) turns an event into the next state and cannot
//! fail. An [`Event`] carries the whole product as it stands afterwards, so a reader
//! needs no older event to understand it.

pub mod command;
pub mod decide;
pub mod draft;
pub mod event;
mod fingerprint;
mod holding;
pub mod product;
pub mod reservation;
pub mod state;

pub use command::{
    Atomicity, Basis, Command, CountLine, Deletion, Edit, ImportRow, ImportStock, Move, NewProduct,
    Reserve,
};
pub use decide::decide;
pub use draft::Draft;
pub use event::{Event, EventKind, Movement, MovementKind, Reason};
pub use fingerprint::{Print, fingerprint};
pub use product::{Details, Product, Stock};
pub use reservation::{Line, Reservation, ReservationState, Reservations};
pub use state::{Entry, Inventory};

pub use crate::domain::decision::{Decision, ItemResult};
pub use crate::domain::rejection::Rejection;
