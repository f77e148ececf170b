//! The in-memory catalogue that many readers share with one publisher.
//!
//! At central the publisher is the thread that flushes the journal, after durability; at a store it
//! is the follower. Both publish full products, so a change needs no older one to be understood.
//!
//! ```text
//!  publisher ──▶ slots (one per product, replaced whole) ──▶ point reads, snapshots
//!                  │ dirty bits
//!                  ▼
//!                index (orders, filters, text)            ──▶ lists, categories, shortfalls
//! ```
//!
//! - **Nobody waits for the publisher's sake, and it waits for nobody** (but see below). A point read takes no
//!   lock. Publishing replaces a pointer and sets a bit; the index is brought up to date by whoever
//!   reads a list next, or by [`Catalogue::maintain`] in the background, so a product that changes
//!   a thousand times between two lists costs the index one change.
//! - **What was published is seen.** A read that begins after `publish` returned sees it: point
//!   reads because the pointer is there, lists because they apply every dirty slot first.
//! - **A page costs what a page holds.** Orders are kept, not sorted for; filters are bitmaps.
//!
//! A page is one state of the index. At central the index may have taken in half of what was being
//! published meanwhile: a list is a list, not a transaction. A store's publisher is nobody's writer and
//! may wait for a moment, so there the index takes in what has changed between two publications, and a
//! page shows each decision whole or not at all ([`Catalogue::in_whole`]). A page's `head` is read before
//! the index is, so following the feed from there misses nothing.

mod catalogue;
mod cursor;
mod index;
mod page;
mod query;
mod slots;
mod text;

pub use catalogue::{Catalogue, Change, Head};
pub use cursor::{Cursor, InvalidCursor};
pub use page::Page;
pub use query::{Direction, Filter, ListRequest, Query, SearchText, Sort, Start};
pub use slots::Published;

#[cfg(test)]
mod tests;
