//! `GET /v1/admin/products/export`: the catalogue as a file, in the shape that an import takes.
//!
//! A thread writes it part by part, packed if the caller takes it so, and waits where the reader is
//! slow; a reader that goes away ends it.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Uri};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::{Coding, Packer};
use shared::service::query::QueryParams;
use shared::wire::headers::{LOG_GEN, LOG_HEAD};
use shared::wire::problem::Problem;
use tokio::sync::mpsc;

use super::inventory::ListProblems;
use super::{AppState, examples};
use crate::export::{self, ExportFormat};

/// The whole catalogue as a file; reservations and orders are not in it.
///
/// # Errors
/// 400 for a bad parameter.
#[utoipa::path(
    get, path = "/v1/admin/products/export", tag = "admin", operation_id = "exportProducts", security(("apiKey" = [])),
    params(("format" = Option<String>, Query, nullable = false, pattern = "^(csv|ndjson)$", example = "csv")),
    responses(
        (
            status = 200, description = "The catalogue, in the shape that the import takes.",
            content((String = "text/csv", example = json!(examples::CSV)), (String = "application/x-ndjson")),
            headers(("Log-Gen" = String), ("Log-Head" = i64)),
        ),
        ListProblems,
    )
)]
pub async fn get_export(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let coding = Coding::accepted(&headers);
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["format"]);
    let formats = [("csv", ExportFormat::Csv), ("ndjson", ExportFormat::Ndjson)];
    let format = params.choice("format", &formats);
    params.finish()?;
    let format = format.unwrap_or(ExportFormat::Ndjson);
    // Read before the products are: whoever follows the feed from here on misses nothing.
    let published = state.ledger.published();
    let (log_gen, head) = (published.log_gen().to_string(), published.head().offset);
    let (parts, waiting) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(limits::PARTS_AHEAD);
    let ledger = state.ledger.clone();
    tokio::task::spawn_blocking(move || {
        let mut products = ledger.view().collect();
        products.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let products = products.iter().map(|published| &published.product);
        let send = |part: io::Result<Vec<u8>>| match part {
            // The packer keeps a part for later; an empty piece would say that this is the end.
            Ok(packed) if packed.is_empty() => true,
            part => parts.blocking_send(part).is_ok(),
        };
        let mut packer = match Packer::new(coding) {
            Ok(packer) => packer,
            Err(error) => return send(Err(error)),
        };
        let mut whole = true;
        // A reader that goes away ends the export.
        export::write(format, products, |part| {
            whole = send(packer.push(&part));
            whole
        });
        whole && send(packer.finish())
    });
    let stream = futures_util::stream::unfold(waiting, |mut waiting| async move {
        let part = waiting.recv().await?;
        Some((part, waiting))
    });
    let (content_type, name) = match format {
        ExportFormat::Csv => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"products.csv\"",
        ),
        ExportFormat::Ndjson => (
            "application/x-ndjson",
            "attachment; filename=\"products.ndjson\"",
        ),
    };
    let log_gen = HeaderValue::try_from(log_gen).expect("hex digits are a valid header");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_DISPOSITION, HeaderValue::from_static(name)),
        (LOG_GEN, log_gen),
        (LOG_HEAD, HeaderValue::from(head)),
    ];
    let mut response = (headers, Body::from_stream(stream)).into_response();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(token) = coding.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    Ok(response)
}
