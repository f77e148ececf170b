//! A page of reservations, newest first.
//!
//! A cursor is the place of the last row that was given, with the filters of its list. Rows that
//! come, go or change between two pages therefore shift nothing. It carries no checksum: a text that
//! was changed on its way is another place in the list, or none.
//!
//! A page by `offset` skips so many rows instead, and says how many there are: for that every
//! reservation is looked at, which a cursor spares.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::ids::{Owner, ProductId, ReservationId, StoreId};
use shared::domain::inventory::{Reservation, ReservationState};
use shared::limits;
use shared::service::openapi::bodies::PaginationBody;
use shared::service::query::QueryParams;

use crate::ledger::{Books, HoldPlace, hold_place};

/// Reservations that are looked at under one lock.
const SCANNED_AT_ONCE: usize = 1_024;

/// Which reservations are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<ReservationState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<StoreId>,
}

/// Where a list goes on, as a cursor says it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    filter: Filter,
    made: Timestamp,
    id: ReservationId,
}

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    filter: Filter,
    limit: usize,
    start: Start,
}

/// Where a page begins.
#[derive(Debug)]
enum Start {
    /// With the newest.
    Newest,
    /// Behind this place.
    After(HoldPlace),
    /// After so many rows, and all are counted.
    Offset(usize),
}

/// A page.
pub(super) struct Page {
    pub(super) rows: Vec<Arc<Reservation>>,
    /// The cursor of the next one.
    pub(super) next: Option<String>,
    /// Where it stands in its list, if it was asked for by `offset`.
    pub(super) pagination: Option<PaginationBody>,
}

impl Wanted {
    /// Reads the query; what is wrong with it is noted there.
    pub(super) fn read(params: &mut QueryParams<'_>) -> Self {
        const NAMES: [&str; 7] = [
            "state",
            "owner",
            "productId",
            "storeId",
            "limit",
            "offset",
            "cursor",
        ];
        params.unknown_rejected(&NAMES);
        let states = ReservationState::ALL.map(|state| (state.as_str(), state));
        let asked = Filter {
            state: params.choice("state", &states),
            owner: params.parsed_by("owner", Owner::parse),
            product: params.parsed_by("productId", ProductId::parse),
            store: params.parsed_by("storeId", StoreId::parse),
        };
        let offset = params.integer("offset", 0..=limits::EXACT_MAX);
        if offset.is_some() && params.raw("cursor").is_some() {
            params.fault("cursor", "cannot be given together with offset");
        }
        let most = match offset {
            Some(_) => limits::PAGE_BY_OFFSET,
            None => limits::PAGE_BY_CURSOR,
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let limit = params.integer_capped("limit", 1..=most);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let cursor = params.parsed_by("cursor", parse_cursor);
        let mut wanted = Self {
            filter: asked,
            limit: limit.unwrap_or(limits::PAGE_DEFAULT),
            start: offset.map_or(Start::Newest, |offset| {
                Start::Offset(usize::try_from(offset).unwrap_or(usize::MAX))
            }),
        };
        if let Some(Cursor { filter, made, id }) = cursor {
            if wanted.filter != Filter::default() && wanted.filter != filter {
                params.fault("cursor", "belongs to a list with other filters");
            }
            wanted.filter = filter;
            wanted.start = Start::After((made, id));
        }
        wanted
    }

    /// Keeps the list to the store that `check` allows for the one it names, a cursor's included.
    ///
    /// # Errors
    /// That of `check`.
    pub(super) fn keep_to<E>(
        &mut self,
        check: impl FnOnce(Option<&StoreId>) -> Result<Option<StoreId>, E>,
    ) -> Result<(), E> {
        self.filter.store = check(self.filter.store.as_ref())?;
        Ok(())
    }

    /// Whether every reservation has to be looked at.
    pub(super) const fn counts_all(&self) -> bool {
        matches!(self.start, Start::Offset(_))
    }

    /// Reads the page from `books`, judged at `now`.
    pub(super) fn page(self, books: &Books, now: Timestamp) -> Page {
        let Self {
            filter,
            limit,
            start,
        } = self;
        let (mut from, offset) = match start {
            Start::Newest => (None, None),
            Start::After(place) => (Some(place), None),
            Start::Offset(offset) => (None, Some(offset)),
        };
        let first = offset.unwrap_or(0);
        let mut rows: Vec<Arc<Reservation>> = Vec::new();
        // Rows that are wanted, as far as was looked.
        let mut found = 0_usize;
        let is_done = |found: usize| offset.is_none() && found > limit;
        while !is_done(found) {
            let some = filter.some(books, from.as_ref());
            let Some(last) = some.last() else { break };
            from = Some(hold_place(last));
            for row in some.into_iter().filter(|row| filter.takes(row, now)) {
                found += 1;
                if found > first && rows.len() < limit {
                    rows.push(row);
                }
                if is_done(found) {
                    break;
                }
            }
        }
        let has_more = !rows.is_empty() && found > first.saturating_add(rows.len());
        let last = rows.last().filter(|_| has_more);
        Page {
            next: last.map(|row| cursor(filter, row)),
            pagination: offset.map(|offset| PaginationBody::new(offset, limit, found, has_more)),
            rows,
        }
    }
}

impl Filter {
    /// Some of the reservations that come next, those that are wanted among them.
    fn some(&self, books: &Books, from: Option<&HoldPlace>) -> Vec<Arc<Reservation>> {
        match (&self.product, self.state) {
            // Who holds a product is known without looking at everybody.
            (Some(product), Some(ReservationState::Active)) => {
                let (mut holding, _) = books.holding(product.as_str(), usize::MAX);
                holding.retain(|held| from.is_none_or(|from| hold_place(held) < *from));
                holding
            }
            _ => books.reservations_before(from, SCANNED_AT_ONCE),
        }
    }

    fn takes(&self, row: &Reservation, now: Timestamp) -> bool {
        let holds = |product: &ProductId| row.lines.iter().any(|line| line.product_id == *product);
        self.state.is_none_or(|state| row.state_at(now) == state)
            && self.owner.as_ref().is_none_or(|owner| row.owner == *owner)
            && self.product.as_ref().is_none_or(holds)
            && (self.store.is_none() || self.store == row.store_id)
    }
}

fn cursor(filter: Filter, last: &Reservation) -> String {
    let (made, id) = hold_place(last);
    let cursor = Cursor { filter, made, id };
    let text = serde_json::to_vec(&cursor).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(text)
}

fn parse_cursor(text: &str) -> Result<Cursor, &'static str> {
    let bytes = (text.len() <= limits::CURSOR_BYTES)
        .then(|| URL_SAFE_NO_PAD.decode(text).ok())
        .flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or("is not a cursor that this service gave")
}
