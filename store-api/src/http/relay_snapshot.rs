//! The relay's snapshot: the newest snapshot file, with the header that central's has.
//!
//! Its address names position and checksum. The position alone would not do: rows can come in another
//! order after a full sync, and a copy that was found wrong is replaced at the very offset where it
//! stood, while proxies may keep what they were once given for ever.
//!
//! The one before it stays readable too, so that a follower that is still loading it, or that has
//! just loaded it, finds the events behind it.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LOCATION, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use shared::disk::{Disk, FsDisk};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::Coding;
use shared::service::openapi::examples;
use shared::service::query::QueryParams;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::sync::mpsc;

use super::AppState;
use super::state::not_synced_yet;
use crate::replica::files::Served;
use crate::replica::position::Position;

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// Level 1 packs a catalogue at several hundred megabytes a second.
const ZSTD_LEVEL: i32 = 1;

shared::problem_set! {
    /// Why there is no address.
    NewestProblems = NotSyncedYet;
    /// Why there is no snapshot.
    SnapshotProblems = InvalidRequest | NotFound;
}

/// Says where the newest snapshot is.
///
/// # Errors
/// 503 when there is none.
#[utoipa::path(
    get, path = "/v1/inventory/snapshot", tag = "relay", operation_id = "newestSnapshot", security(("apiKey" = [])),
    responses((status = 307, description = "Where the newest snapshot is.", headers(("Location" = String))), NewestProblems)
)]
pub async fn newest(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let snapshots = state.keeper.status().snapshots();
    let (path, position) = snapshots.into_iter().next().ok_or_else(not_synced_yet)?;
    let served = edges(path).await.ok_or_else(not_synced_yet)?;
    let location = format!("/v1/inventory/snapshots/{position}?crc={}", served.crc);
    let location = HeaderValue::try_from(location).expect("hex digits and figures");
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

/// One snapshot, whole: NDJSON; zstd or gzip by `Accept-Encoding`.
///
/// # Errors
/// 404 when it is not, or no longer, there.
#[utoipa::path(
    get, path = "/v1/inventory/snapshots/{name}", tag = "relay", operation_id = "snapshot", security(("apiKey" = [])),
    params(
        ("name" = String, Path, description = "As the newest one's address says it: gen-offset", example = "8a7fd1e200aa31c4-4"),
        ("crc" = Option<String>, Query, nullable = false, description = "The checksum that the redirect named: exactly those bytes, or none"),
    ),
    responses(
        (
            status = 200, description = "A header line, one product a line, a trailer with count, checksum and digest; zstd or gzip by Accept-Encoding.",
            content((String = "application/x-ndjson", example = json!(examples::snapshot()))),
            headers(("ETag" = String)),
        ),
        SnapshotProblems,
    )
)]
pub async fn one(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let params = QueryParams::parse(&uri);
    let wanted_crc = params.raw("crc").map(str::to_owned);
    params.finish()?;
    let wanted: Option<Position> = name.parse().ok();
    let snapshots = state.keeper.status().snapshots();
    let mut snapshots = snapshots.into_iter();
    let missing = || {
        Problem::new(
            ProblemCode::NotFound,
            "there is no such snapshot; ask for the newest",
        )
    };
    let (path, position) = snapshots
        .find(|(_, position)| Some(*position) == wanted)
        .ok_or_else(missing)?;
    let served = edges(path.clone()).await.ok_or_else(missing)?;
    let is_named = wanted_crc.is_some();
    if wanted_crc.is_some_and(|crc| crc != served.crc) {
        return Err(missing());
    }
    let coding = Coding::accepted(&headers);
    let etag = format!("\"{position}-{}{}\"", served.crc, coding.tag_suffix());
    let (blocks, outbox) = mpsc::channel(limits::PARTS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let sent = send(&FsDisk, &path, &served, coding, &blocks);
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
    // A position alone is not the bytes: a copy that was found wrong is replaced where it stands.
    headers.insert(
        CACHE_CONTROL,
        text(if is_named {
            "public, max-age=31536000, immutable"
        } else {
            "public, no-cache"
        }),
    );
    headers.insert(VARY, text("Accept-Encoding"));
    if let Some(token) = coding.token() {
        headers.insert(CONTENT_ENCODING, text(token));
    }
    headers.insert(
        ETAG,
        HeaderValue::try_from(etag).expect("hex digits and figures"),
    );
    Ok(response)
}

/// First and last line of a snapshot; none if the file has gone meanwhile.
async fn edges(path: PathBuf) -> Option<Served> {
    let read = tokio::task::spawn_blocking(move || Served::read(&FsDisk, &path));
    let read = read.await.ok()?;
    read.inspect_err(|fault| tracing::warn!(%fault, "a snapshot cannot be served"))
        .ok()
}

type Blocks = mpsc::Sender<io::Result<Bytes>>;

/// Reads the file and sends it, packed or not. Blocking.
fn send(
    disk: &dyn Disk,
    path: &std::path::Path,
    served: &Served,
    coding: Coding,
    blocks: &Blocks,
) -> io::Result<()> {
    let out = BufWriter::with_capacity(BLOCK, Outlet { blocks });
    match coding {
        Coding::Identity => copy(disk, path, served, out)?.flush(),
        Coding::Gzip => {
            let encoder = GzEncoder::new(out, Compression::fast());
            copy(disk, path, served, encoder)?.finish()?.flush()
        }
        Coding::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            copy(disk, path, served, encoder)?.finish()?.flush()
        }
    }
}

fn copy<W: Write>(
    disk: &dyn Disk,
    path: &std::path::Path,
    served: &Served,
    mut out: W,
) -> io::Result<W> {
    out.write_all(&served.head)?;
    let mut at = served.rows.start;
    while at < served.rows.end {
        let want = usize::try_from(served.rows.end - at).unwrap_or(BLOCK);
        let block = disk.read_at(path, at, want.min(BLOCK))?;
        if block.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += block.len() as u64;
        out.write_all(&block)?;
    }
    out.write_all(&served.tail)?;
    Ok(out)
}

/// A writer into the queue.
struct Outlet<'a> {
    blocks: &'a Blocks,
}

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.blocks.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
