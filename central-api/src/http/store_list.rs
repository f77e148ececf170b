//! `GET /v1/stores`: a page of the stores that have reported, in the order of their ids.
//!
//! A cursor is the id of the last store that was given, so a walk goes on behind it whatever has
//! reported, or was forgotten, meanwhile. The page is counted from one head, which it names, and is
//! read under one lock, which no caller can hold for longer than a page takes.

use std::ops::Bound;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde::{Deserialize, Serialize};
use shared::clock::Clock as _;
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::openapi::PaginationBody;
use shared::service::query::QueryParams;
use shared::service::system_clock::SystemClock;
use shared::wire::problem::Problem;
use utoipa::{IntoParams, ToSchema};

use super::paging::{PageAsk, given_cursor};
use super::stores::StoreView;
use super::{AppState, examples};

shared::problem_set! {
    /// What a list of stores can be refused for.
    StoreListProblems = InvalidRequest;
}

/// Which page of the stores.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StoreListParams {
    /// Stores to pass over; not together with `cursor`.
    #[param(nullable = false, minimum = 0)]
    offset: Option<i64>,
    /// The `nextCursor` of the page before; empty for a walk's beginning.
    #[param(nullable = false, max_length = 3072)]
    cursor: Option<String>,
    /// Default 50; more than 200 means 200, with `cursor` 1000.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
}

/// A page of the stores that follow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreList {
    stores: Vec<StoreView>,
    pagination: PaginationBody,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    head_offset: u64,
    /// As every list has it: the head that the lags are counted from.
    as_of_offset: u64,
    #[serde(rename = "gen")]
    log_gen: String,
}

/// Where a walk stands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// The last store that was given.
    after: StoreId,
    /// Stores given so far.
    rows: usize,
}

impl Cursor {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = (text.len() <= limits::CURSOR_BYTES)
            .then(|| URL_SAFE_NO_PAD.decode(text).ok())
            .flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or("is not a cursor that this service gave")
    }
}

/// A page of the stores that follow, by id.
///
/// # Errors
/// 400 with every fault of the query.
#[utoipa::path(
    get, path = "/v1/stores", tag = "stores", operation_id = "listStores", security(("apiKey" = [])),
    params(StoreListParams),
    responses((status = 200, body = StoreList, example = json!(examples::stores())), StoreListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<StoreList>, Problem> {
    caller.require(Scope::Read)?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["offset", "cursor", "limit"]);
    let PageAsk { offset, limit } = PageAsk::read(&mut params);
    let cursor = given_cursor(&mut params, Cursor::parse);
    params.finish()?;
    let (from, rows) = match &cursor {
        Some(Cursor { after, rows }) => (Bound::Excluded(after), *rows),
        None => (Bound::Unbounded, offset),
    };
    let published = state.ledger.published();
    let head = published.head().offset;
    let stores = &state.shared.stores;
    let page = stores.page(from, offset, limit, head, SystemClock.now());
    let rows_now = rows.saturating_add(page.stores.len());
    let next_cursor = page.stores.last().filter(|_| page.has_more).map(|last| {
        let after = last.store_id().clone();
        let rows = rows_now;
        Cursor { after, rows }.encode()
    });
    Ok(Json(StoreList {
        pagination: PaginationBody::new(rows, limit, page.total, page.has_more),
        stores: page.stores,
        next_cursor,
        head_offset: head,
        as_of_offset: head,
        log_gen: published.log_gen().to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_and_nothing_else_is_one() {
        let after = StoreId::parse(&"s".repeat(limits::ID_BYTES)).unwrap();
        let cursor = Cursor { after, rows: 1_000 };
        let text = cursor.encode();
        assert_eq!(Cursor::parse(&text), Ok(cursor));
        for text in [
            "",
            "!",
            &text[..text.len() - 4],
            &"A".repeat(limits::CURSOR_BYTES + 4),
            &URL_SAFE_NO_PAD.encode(r#"{"after":"a b","rows":1}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"after":"a","rows":1,"more":2}"#),
        ] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
