//! Where a walk through a list stands, as opaque text.
//!
//! A cursor holds the key and id of the last row it gave, not a position: rows that come, go or
//! move elsewhere in the list do not shift it. It also holds its order and its filters, since a place
//! in one list means nothing in another and a client should not have to say them again, and a
//! checksum, since text from outside may be cut or changed on its way. It holds nothing of the process that made it, so a
//! walk goes on after a restart and at another store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::query::{Direction, Filter, Query, Sort};
use super::text;
use crate::domain::ids::check_id;
use crate::domain::inventory::Product;
use crate::domain::inventory::product::Fnv1a;
use crate::limits;

/// Changes when the layout does, so that an old cursor is refused and not misread.
const LAYOUT: u8 = 2;

/// Why a text is not a cursor for this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCursor {
    /// Not a text that this service made.
    #[error("is not a cursor that this service gave")]
    Malformed,
    /// Made for other filters or another order.
    #[error("belongs to a list with other filters or another order")]
    OtherList,
}

/// What a row is ordered by, besides its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Ordered by the id alone.
    Id,
    /// The name, folded.
    Name(Box<str>),
    /// Units, or hundredths.
    Number(i64),
}

impl Key {
    /// The key of `product` in the order `sort`.
    pub(super) fn of(product: &Product, sort: Sort) -> Self {
        match sort {
            Sort::ProductId => Self::Id,
            Sort::Name => Self::Name(text::fold(&product.details.name).into()),
            Sort::Available => Self::Number(product.available()),
            Sort::Price => Self::Number(product.details.price.minor()),
        }
    }
}

/// The place behind one row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) sort: Sort,
    pub(super) direction: Direction,
    pub(super) filter: Filter,
    /// Rows given so far.
    pub(super) rows: usize,
    pub(super) key: Key,
    pub(super) id: Box<str>,
}

impl Cursor {
    /// The place behind `last`, which is row `rows` of `query`.
    #[must_use]
    pub fn after(query: &Query, rows: usize, last: &Product) -> Self {
        Self {
            sort: query.sort,
            direction: query.direction,
            filter: query.filter.clone(),
            rows,
            key: Key::of(last, query.sort),
            id: last.id.as_str().into(),
        }
    }

    /// Checks that this is a place in the list that `query` asks for.
    ///
    /// # Errors
    /// [`InvalidCursor::OtherList`] if it is not.
    pub fn check(&self, query: &Query) -> Result<(), InvalidCursor> {
        let same = self.sort == query.sort
            && self.direction == query.direction
            && self.filter == query.filter;
        if same {
            Ok(())
        } else {
            Err(InvalidCursor::OtherList)
        }
    }

    /// The cursor as text that needs no escape in a URL.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![LAYOUT, sort_byte(self.sort), direction_byte(self.direction)];
        self.filter.write(&mut bytes);
        bytes.extend_from_slice(&(self.rows as u64).to_be_bytes());
        match &self.key {
            Key::Id => {}
            Key::Name(name) => {
                let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend(name.bytes().take(usize::from(length)));
            }
            Key::Number(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        }
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&checksum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`InvalidCursor::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > limits::CURSOR_BYTES {
            return Err(InvalidCursor::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| InvalidCursor::Malformed)?;
        Self::decode(&bytes).ok_or(InvalidCursor::Malformed)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let ([LAYOUT, sort, direction], rest) = body.split_first_chunk::<3>()? else {
            return None;
        };
        if *sum != checksum(body) {
            return None;
        }
        let sort = *Sort::ALL.get(usize::from(*sort))?;
        let direction = match direction {
            0 => Direction::Ascending,
            1 => Direction::Descending,
            _ => return None,
        };
        let (filter, rest) = Filter::read(rest)?;
        let (rows, rest) = rest.split_first_chunk::<8>()?;
        let (key, id) = match sort {
            Sort::ProductId => (Key::Id, rest),
            Sort::Name => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length));
                let (name, id) = rest.split_at_checked(length)?;
                (Key::Name(std::str::from_utf8(name).ok()?.into()), id)
            }
            Sort::Available | Sort::Price => {
                let (number, id) = rest.split_first_chunk::<8>()?;
                (Key::Number(i64::from_be_bytes(*number)), id)
            }
        };
        let id = std::str::from_utf8(id).ok()?;
        check_id(id).ok()?;
        Some(Self {
            sort,
            direction,
            filter,
            rows: usize::try_from(u64::from_be_bytes(*rows)).ok()?,
            key,
            id: id.into(),
        })
    }
}

const fn sort_byte(sort: Sort) -> u8 {
    match sort {
        Sort::ProductId => 0,
        Sort::Name => 1,
        Sort::Available => 2,
        Sort::Price => 3,
    }
}

const fn direction_byte(direction: Direction) -> u8 {
    match direction {
        Direction::Ascending => 0,
        Direction::Descending => 1,
    }
}

/// The first half of a hash of `bytes`.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut hash = Fnv1a::new();
    hash.write(bytes);
    let [a, b, c, d, ..] = hash.finish().to_be_bytes();
    [a, b, c, d]
}
