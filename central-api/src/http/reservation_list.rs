//! A page of reservations, newest first.
//!
//! A cursor is the place of the last row that was given, with the filters of its list. Rows that
//! come, go or change between two pages therefore shift nothing. It carries no checksum: a text that
//! was changed on its way is another place in the list, or none.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::ids::{Owner, ProductId, ReservationId, StoreId};
use shared::domain::inventory::{Reservation, ReservationState};
use shared::limits;
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
    from: Option<HoldPlace>,
}

/// A page.
pub(super) struct Page {
    pub(super) rows: Vec<Arc<Reservation>>,
    /// The cursor of the next one.
    pub(super) next: Option<String>,
}

impl Wanted {
    /// Reads the query; what is wrong with it is noted there.
    pub(super) fn read(params: &mut QueryParams<'_>) -> Self {
        let known = ["state", "owner", "productId", "storeId", "limit", "cursor"];
        params.unknown_rejected(&known);
        let states = ReservationState::ALL.map(|state| (state.as_str(), state));
        let asked = Filter {
            state: params.choice("state", &states),
            owner: params.parsed_by("owner", Owner::parse),
            product: params.parsed_by("productId", ProductId::parse),
            store: params.parsed_by("storeId", StoreId::parse),
        };
        let most = i64::try_from(limits::PAGE_BY_CURSOR).unwrap_or(i64::MAX);
        let limit = params.integer_capped("limit", 1..=most);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let cursor = params.parsed_by("cursor", parse_cursor);
        let mut wanted = Self {
            filter: asked,
            limit: limit.unwrap_or(limits::PAGE_DEFAULT),
            from: None,
        };
        if let Some(Cursor { filter, made, id }) = cursor {
            if wanted.filter != Filter::default() && wanted.filter != filter {
                params.fault("cursor", "belongs to a list with other filters");
            }
            wanted.filter = filter;
            wanted.from = Some((made, id));
        }
        wanted
    }

    /// Reads the page from `books`, judged at `now`.
    pub(super) fn page(self, books: &Books, now: Timestamp) -> Page {
        let Self {
            filter,
            limit,
            mut from,
        } = self;
        let mut rows: Vec<Arc<Reservation>> = Vec::new();
        loop {
            let some = filter.some(books, from.as_ref());
            let Some(last) = some.last() else {
                return Page { rows, next: None };
            };
            from = Some(hold_place(last));
            for row in some.into_iter().filter(|row| filter.takes(row, now)) {
                if rows.len() == limit {
                    let next = rows.last().map(|row| cursor(filter.clone(), row));
                    return Page { rows, next };
                }
                rows.push(row);
            }
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
