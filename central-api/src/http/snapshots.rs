//! `GET /v1/inventory/snapshot` and `/v1/inventory/snapshots/{name}`: the catalogue at one offset.
//!
//! The first says where the newest one is; the second is that one, for ever. So a proxy between a
//! hundred shops and central fetches it once.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use futures_util::Stream;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use shared::causes::chain;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::Coding;
use shared::service::precondition::is_known;
use shared::service::request_context::WaitedOnPurpose;
use shared::wire::headers::LOG_GEN;
use shared::wire::problem::{Problem, ProblemCode};

use super::refusal::SNAPSHOT_URL;
use super::{AppState, examples};
use crate::feed::exports::{Export, ExportError};

/// Bytes of one piece of the body.
const BLOCK: usize = 256 * 1024;
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

shared::problem_set! {
    /// Why there is no address.
    NewestProblems = Overloaded;
    /// Why there is no snapshot.
    SnapshotProblems = NotFound;
}

/// Says where the newest snapshot is, making one if the last is too old.
///
/// # Errors
/// 503 if none can be made at the moment.
#[utoipa::path(
    get, path = "/v1/inventory/snapshot", tag = "feed", operation_id = "newestSnapshot", security(("apiKey" = [])),
    responses(
        (status = 307, description = "Where the newest snapshot is.", headers(("Location" = String))),
        NewestProblems,
    )
)]
pub async fn newest(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let export = state.shared.exports.current(state.ledger.published()).await;
    let export = export.map_err(|error| unmade(&error))?;
    let location = format!("/v1/inventory/snapshots/{}", export.name());
    let location = HeaderValue::try_from(location).expect("digits are a valid header");
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=1")),
    ];
    let mut response = (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
    response.extensions_mut().insert(WaitedOnPurpose);
    Ok(response)
}

fn unmade(error: &ExportError) -> Problem {
    tracing::error!(error = %chain(error), "a snapshot could not be made");
    match error {
        ExportError::Io(_) | ExportError::Ended => {
            Problem::new(ProblemCode::Overloaded, "no snapshot can be made now").retry_after(5)
        }
        ExportError::Journal(_) | ExportError::Digest { .. } => {
            Problem::new(ProblemCode::Internal, "no snapshot could be made")
        }
    }
}

/// One snapshot, whole.
///
/// # Errors
/// 404 if it is not, or no longer, kept, or if the log no longer has the events behind it.
#[utoipa::path(
    get, path = "/v1/inventory/snapshots/{name}", tag = "feed", operation_id = "snapshot", security(("apiKey" = [])),
    params(("name" = String, Path, description = "As the newest one's address says it: gen-offset", example = "8a7fd1e200aa31c4-4")),
    responses(
        (
            status = 200, description = "A header line, one product a line, a trailer with count, checksum and digest; zstd or gzip by Accept-Encoding.",
            content((String = "application/x-ndjson", example = json!(examples::snapshot()))),
            headers(("ETag" = String), ("Log-Gen" = String)),
        ),
        (status = 304, description = "A snapshot never changes."),
        SnapshotProblems,
    )
)]
pub async fn one(
    State(state): State<AppState>,
    caller: Caller,
    method: Method,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let kept = state.shared.exports.find(&name, state.ledger.published());
    let export = kept.ok_or_else(|| {
        Problem::new(
            ProblemCode::NotFound,
            "there is no such snapshot; ask for the newest",
        )
        .with("snapshotUrl", SNAPSHOT_URL)
    })?;
    let coding = Coding::accepted(&headers);
    let etag = format!("\"{name}{}\"", coding.tag_suffix());
    let etag = HeaderValue::try_from(etag).expect("digits are a valid header");
    let mut response = if is_known(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if method == Method::HEAD {
        described(Body::empty(), &export, coding)
    } else {
        let body = Body::from_stream(pieces(source(&export, coding).map_err(|error| {
            tracing::error!(%error, "a snapshot cannot be read");
            Problem::new(ProblemCode::Internal, "the snapshot cannot be read")
        })?));
        described(body, &export, coding)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, IMMUTABLE);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(response)
}

fn described(body: Body, export: &Export, coding: Coding) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    if let Some(token) = coding.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    if coding == Coding::Zstd {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(export.bytes));
    }
    let log_gen = HeaderValue::try_from(export.log_gen.to_string());
    headers.insert(LOG_GEN, log_gen.expect("digits are a valid header"));
    response
}

type Source = Box<dyn Read + Send>;

fn source(export: &Arc<Export>, coding: Coding) -> io::Result<Source> {
    Ok(match coding {
        Coding::Zstd => Box::new(export.packed()),
        Coding::Identity => Box::new(export.text()?),
        Coding::Gzip => Box::new(GzEncoder::new(export.text()?, Compression::fast())),
    })
}

/// The body, piece by piece. A thread is taken for each piece and given back: a slow reader holds a
/// buffer, never a thread.
fn pieces(source: Source) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::unfold(Some(source), |source| async {
        let mut source = source?;
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(BLOCK);
            let read = source.by_ref().take(BLOCK as u64).read_to_end(&mut piece);
            read.map(|_| (piece, source))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((piece, _)) if piece.is_empty() => None,
            Ok((piece, source)) => Some((Ok(Bytes::from(piece)), Some(source))),
            Err(error) => Some((Err(error), None)),
        }
    })
}
