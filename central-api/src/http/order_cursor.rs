//! Where a walk through a list of orders stands, as opaque text.
//!
//! As [`shared::view`]'s cursor of products: the place of the last order that was given, the filters of
//! its list, and a checksum, since text from outside may be cut or changed on its way. Nothing in it
//! is this process's own, so a walk goes on after a restart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::clock::Timestamp;
use shared::domain::ids::{CustomerId, OrderId, StoreId};
use shared::domain::order::OrderStatus;
use shared::limits;

use crate::ledger::order_lists::{OrderFilter, Owed, Place};

/// Changes when the layout does, so that an old cursor is refused and not misread.
const LAYOUT: u8 = 3;
/// Says that there is no filter by status.
const ANY_STATUS: u8 = u8::MAX;
/// Says the same of what is owed.
const ANY_OWED: u8 = u8::MAX;

/// The text is not a cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that this service gave")]
pub(super) struct NotACursor;

/// The place behind one order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The list's filters.
    pub(super) filter: OrderFilter,
    /// Orders given so far.
    pub(super) rows: usize,
    /// Orders that the list had when the walk began.
    pub(super) total: usize,
    /// The last order given.
    pub(super) place: Place,
}

impl Cursor {
    /// The cursor as text that needs no escape in a URL.
    pub(super) fn encode(&self) -> String {
        let Self {
            filter,
            rows,
            total,
            place: (at, id),
        } = self;
        let status = filter.status.and_then(|status| {
            let at = OrderStatus::ALL.iter().position(|known| *known == status);
            u8::try_from(at?).ok()
        });
        let owed = filter.owed.and_then(|owed| {
            let at = Owed::ALL.iter().position(|known| *known == owed);
            u8::try_from(at?).ok()
        });
        let (status, owed) = (status.unwrap_or(ANY_STATUS), owed.unwrap_or(ANY_OWED));
        let mut bytes = vec![LAYOUT, status, owed];
        let customer = filter.customer.as_ref().map(CustomerId::as_str);
        let store = filter.store.as_ref().map(StoreId::as_str);
        for text in [customer, store] {
            // An id is never empty, so no length means that there is none.
            let text = text.unwrap_or_default();
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&(*rows as u64).to_be_bytes());
        bytes.extend_from_slice(&(*total as u64).to_be_bytes());
        bytes.extend_from_slice(&at.as_millis().to_be_bytes());
        bytes.extend_from_slice(id.as_str().as_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`NotACursor`] for anything else.
    pub(super) fn parse(text: &str) -> Result<Self, NotACursor> {
        if text.len() > limits::CURSOR_BYTES {
            return Err(NotACursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        Self::decode(&bytes).ok_or(NotACursor)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if *sum != crc32c::crc32c(body).to_be_bytes() {
            return None;
        }
        let ([LAYOUT, status, owed], rest) = body.split_first_chunk::<3>()? else {
            return None;
        };
        let status = match *status {
            ANY_STATUS => None,
            at => Some(*OrderStatus::ALL.get(usize::from(at))?),
        };
        let owed = match *owed {
            ANY_OWED => None,
            at => Some(*Owed::ALL.get(usize::from(at))?),
        };
        let (customer, rest) = text(rest)?;
        let (store, rest) = text(rest)?;
        let (rows, rest) = rest.split_first_chunk::<8>()?;
        let (total, rest) = rest.split_first_chunk::<8>()?;
        let (at, id) = rest.split_first_chunk::<8>()?;
        let at = Timestamp::from_millis(i64::from_be_bytes(*at));
        let id = OrderId::parse(std::str::from_utf8(id).ok()?).ok()?;
        let filter = OrderFilter {
            customer: customer.map(CustomerId::parse).transpose().ok()?,
            store: store.map(StoreId::parse).transpose().ok()?,
            status,
            owed,
        };
        Some(Self {
            filter,
            rows: usize::try_from(u64::from_be_bytes(*rows)).ok()?,
            total: usize::try_from(u64::from_be_bytes(*total)).ok()?,
            place: (at, id),
        })
    }
}

/// A text behind its length, and what follows it.
fn text(bytes: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    let text = std::str::from_utf8(text).ok()?;
    Some((Some(text).filter(|text| !text.is_empty()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_and_nothing_else_is_one() {
        let place = (
            Timestamp::from_millis(1_768_473_000_123),
            OrderId::parse("ord-1").unwrap(),
        );
        let filters = [
            OrderFilter::default(),
            OrderFilter {
                customer: Some(CustomerId::parse(&"c".repeat(128)).unwrap()),
                store: Some(StoreId::parse("store-s1").unwrap()),
                status: Some(OrderStatus::Cancelled),
                owed: Some(Owed::VoidOpen),
            },
        ];
        for filter in filters {
            let cursor = Cursor {
                filter,
                rows: 50,
                total: 1_000,
                place: place.clone(),
            };
            let text = cursor.encode();
            assert_eq!(Cursor::parse(&text), Ok(cursor));
            for end in 0..text.len() {
                assert_eq!(Cursor::parse(&text[..end]), Err(NotACursor));
            }
            let mut changed = text.into_bytes();
            changed[3] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Cursor::parse(&changed), Err(NotACursor));
        }
        for text in ["", "!", &"A".repeat(limits::CURSOR_BYTES + 1)] {
            assert_eq!(Cursor::parse(text), Err(NotACursor));
        }
    }
}
