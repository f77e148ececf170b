//! The past of one product or one order: a walk along the log, from the newest record about it to the
//! oldest.
//!
//! Every record names, for each product and order it is about, the record about it before (`prev`,
//! `prevOrders`), so nothing has to be remembered or indexed for this, and deleted products keep their
//! past. Refused attempts are records too, and stand in the past of the product or order that was not
//! moved.
//!
//! A walk (`walk`) reads the disk: it belongs on a blocking thread. It reads a bounded number of
//! records; who wants more asks again from where it stopped. On it stand the pages of a history
//! (`page`), the questions how a product stood and since when it is short (`then`), and what happened
//! to an order (`order`).
//!
//! *At an offset* means after every event below it, as in the feed (`nextOffset`), in lists
//! (`asOfOffset`) and in snapshots. *At a time* means after every record decided then or before.

pub mod order;
mod page;
mod then;
mod walk;

pub use self::page::{Entry, KindWanted, Page, Wanted, What, page};
pub use self::then::{Moment, ShortSince, Stood, as_it_stood, short_since};
pub use self::walk::{Step, Subject, Walk};
