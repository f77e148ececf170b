//! The relay's snapshot: the newest snapshot file, as it is.
//!
//! The one before it stays readable too, so that a follower that is still loading it, or that has
//! just loaded it, finds the events behind it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LOCATION, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use shared::disk::{Disk, FsDisk};
use shared::service::auth::{Caller, Scope};
use shared::wire::problem::{Problem, ProblemCode};
use std::io;

use tokio::sync::mpsc;

use super::AppState;
use super::state::not_synced_yet;
use super::sync::ProblemBody;
use crate::replica::position::Position;

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// Blocks between the reading thread and the network.
const AHEAD: usize = 4;
/// Level 1 packs a catalogue at several hundred megabytes a second.
const ZSTD_LEVEL: i32 = 1;

/// Says where the newest snapshot is.
///
/// # Errors
/// 503 when there is none.
#[utoipa::path(
    get, path = "/v1/inventory/snapshot", tag = "relay", security(("apiKey" = [])),
    responses(
        (status = 307, description = "where the newest snapshot is"),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub async fn newest(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let snapshots = state.keeper.status().snapshots();
    let (_, position) = snapshots.first().ok_or_else(not_synced_yet)?;
    let location = format!("/v1/inventory/snapshots/{position}");
    let location = HeaderValue::try_from(location).expect("hex digits and figures");
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

/// One snapshot, whole: NDJSON, zstd if accepted.
///
/// # Errors
/// 404 when it is not, or no longer, there.
#[utoipa::path(
    get, path = "/v1/inventory/snapshots/{name}", tag = "relay", security(("apiKey" = [])),
    params(("name" = String, Path, description = "`<gen>-<offset>`")),
    responses(
        (status = 200, description = "header, products, trailer; one JSON object a line"),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
    )
)]
pub async fn one(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let wanted: Option<Position> = name.parse().ok();
    let snapshots = state.keeper.status().snapshots();
    let found = snapshots
        .into_iter()
        .find(|(_, position)| Some(*position) == wanted);
    let (path, position) = found.ok_or_else(|| {
        Problem::new(
            ProblemCode::NotFound,
            "there is no such snapshot; ask for the newest",
        )
    })?;
    let accepted = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    let packed = accepted.is_some_and(|accepted| {
        accepted
            .split(',')
            .any(|one| one.trim().split(';').next() == Some("zstd"))
    });
    let (blocks, outbox) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let sent = send(&FsDisk, &path, packed, &blocks);
        if let Err(error) = sent {
            blocks.blocking_send(Err(error)).ok();
        }
    });
    let stream = futures_util::stream::unfold(outbox, |mut outbox| async {
        let block = outbox.recv().await?;
        Some((block, outbox))
    });
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    let text = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, text("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, text("public, max-age=31536000, immutable"));
    headers.insert(VARY, text("Accept-Encoding"));
    if packed {
        headers.insert(CONTENT_ENCODING, text("zstd"));
    }
    let suffix = if packed { "-zstd" } else { "" };
    let etag = format!("\"{position}{suffix}\"");
    headers.insert(
        ETAG,
        HeaderValue::try_from(etag).expect("hex digits and figures"),
    );
    Ok(response)
}

type Blocks = mpsc::Sender<io::Result<Bytes>>;

/// Reads the file and sends it, packed or not. Blocking.
fn send(disk: &dyn Disk, path: &std::path::Path, packed: bool, blocks: &Blocks) -> io::Result<()> {
    let out = Outlet { blocks };
    if !packed {
        return copy(disk, path, out).map(|_| ());
    }
    let encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    copy(disk, path, encoder)?.finish().map(|_| ())
}

fn copy<W: io::Write>(disk: &dyn Disk, path: &std::path::Path, mut out: W) -> io::Result<W> {
    let mut at = 0;
    loop {
        let block = disk.read_at(path, at, BLOCK)?;
        if block.is_empty() {
            return Ok(out);
        }
        at += block.len() as u64;
        out.write_all(&block)?;
    }
}

/// A writer into the queue.
struct Outlet<'a> {
    blocks: &'a Blocks,
}

impl io::Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.blocks.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
