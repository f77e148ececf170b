//! `POST /v1/admin/products/import`: products as a file.
//!
//! Here the request is read and checked; [`importer`](super::importer) does the work and says what
//! the rules are. `stock=set` moves stock and needs a key; without it rows only say how a product
//! shall be, and saying that twice changes nothing.
//!
//! The first catalogue, which a new central may be started with, takes the same way without a request.

use std::io::{self, Read};
use std::path::Path;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::ImportStock;
use shared::domain::origin::Origin;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::idempotency::{KeyHeader, header_key};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::decision::{mark, origin};
use super::fields::checked;
use super::import_report::ImportReport;
use super::importer::{Importer, Rules};
use super::refusal;
use super::{AppState, examples};
use crate::import::{Format, RowError, read};

/// Said of a key that sets of stock need and have not.
const KEY_MISSING: &str = "is required with stock=set";

shared::problem_set! {
    /// What a file can be refused for as a whole.
    ImportProblems = BadRequest | InvalidRequest | ValidationError | IdempotencyKeyRequired
        | IdempotencyKeyReused | Overloaded | ShuttingDown | StorageFull | Timeout;
}

/// Imports the request's body.
///
/// # Errors
/// 400 for bad parameters or a file that makes no sense as a whole, 415 for another type; with
/// `mode=all` 400 with every bad row.
#[utoipa::path(
    post, path = "/v1/admin/products/import", tag = "admin", operation_id = "importProducts", security(("apiKey" = [])),
    params(
        ("mode" = Option<String>, Query, nullable = false, pattern = "^(upsert|create|all)$", description = "`all`: one bad row refuses the file"),
        ("stock" = Option<String>, Query, nullable = false, pattern = "^(keep|set)$", description = "`set` needs an Idempotency-Key"),
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
    ),
    request_body(
        description = "A header row with the names of product fields in any order, or one product a line.",
        content((String = "text/csv", example = json!(examples::CSV)), (String = "application/x-ndjson")),
    ),
    responses((status = 200, description = "What became of the rows.", body = ImportReport, example = json!(examples::imported())), ImportProblems)
)]
pub async fn post_import(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let (rules, key) = rules(&uri, &headers)?;
    let body = in_time(request.into_body());
    let importer = Importer {
        state,
        origin: origin(&caller, &context, caller.store(), None),
        key,
        rules,
    };
    let file = Metered {
        file: SyncIoBridge::new(StreamReader::new(Box::pin(body))),
        left: limits::IMPORT_BYTES,
    };
    let (report, replayed) = importer.import(file).await?;
    Ok(mark(Json(report).into_response(), replayed))
}

/// The data of a body, each piece of which must come in time. Time that is spent deciding does not
/// count: nobody waits for the client then.
fn in_time(body: Body) -> impl Stream<Item = io::Result<axum::body::Bytes>> {
    futures_util::stream::unfold(body.into_data_stream(), |mut data| async move {
        let next = match tokio::time::timeout(limits::BODY_READ, data.next()).await {
            Ok(next) => next?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the body did not go on in time",
            )),
        };
        Some((next, data))
    })
}

/// A file of which only so many bytes may be read.
struct Metered<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                let sentence = format!("the body must not exceed {} bytes", limits::IMPORT_BYTES);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, sentence));
            }
        }
        Ok(read)
    }
}

/// How the file is to be read, and the key of the call.
///
/// # Errors
/// 415 for another type; 400 with every fault of the query and the key.
fn rules(uri: &Uri, headers: &HeaderMap) -> Result<(Rules, Option<IdempotencyKey>), Problem> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = essence
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let format = match essence {
        "text/csv" => Format::Csv,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::Ndjson,
        _ => {
            let sentence = "the body must be text/csv or application/x-ndjson";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, sentence));
        }
    };
    let mut params = QueryParams::parse(uri);
    params.unknown_rejected(&["mode", "stock"]);
    let modes = [
        ("upsert", (true, false)),
        ("create", (false, false)),
        ("all", (true, true)),
    ];
    let mode = params.choice("mode", &modes);
    let stocks = [("keep", ImportStock::Keep), ("set", ImportStock::Set)];
    let stock = params.choice("stock", &stocks);
    let mut faults = params.into_faults();
    let stock = stock.unwrap_or(ImportStock::Keep);
    let key = chunk_key(headers, stock).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    if let [only] = faults.as_slice()
        && only.issue == KEY_MISSING
    {
        let code = ProblemCode::IdempotencyKeyRequired;
        return Err(Problem::with_details(code, faults));
    }
    checked((), faults)?;
    let (update, all) = mode.unwrap_or((true, false));
    let rules = Rules {
        format,
        update,
        all,
        stock,
    };
    Ok((rules, key))
}

/// The key of the call, which leaves room for the numbers of its chunks.
fn chunk_key(headers: &HeaderMap, stock: ImportStock) -> KeyHeader {
    let wrong = |issue: &str| Detail::new("header.Idempotency-Key", issue);
    let key = header_key(headers)?;
    match &key {
        None if stock == ImportStock::Set => Err(wrong(KEY_MISSING)),
        Some(key)
            if key.as_str().len() + limits::IMPORT_KEY_SUFFIX_BYTES
                > limits::IDEMPOTENCY_KEY_BYTES =>
        {
            let room = limits::IMPORT_KEY_SUFFIX_BYTES;
            Err(wrong(&format!(
                "must leave {room} characters for the number of the chunk"
            )))
        }
        Some(_) | None => Ok(key),
    }
}

/// Imports a file into an empty catalogue, at the first start.
///
/// # Errors
/// What is wrong with the file.
pub async fn import_file(state: &AppState, path: &Path) -> Result<ImportReport, String> {
    let format = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("csv") => Format::Csv,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => return Err(format!("{} is neither .csv nor .ndjson", path.display())),
    };
    let open = || std::fs::File::open(path).map_err(|error| error.to_string());
    // A first pass that decides nothing: a bad file must not leave half a catalogue behind.
    let mut faults = ImportReport::default();
    let checked = read(format, open()?, |row| {
        if let Err(wrong) = row.parsed {
            faults.reject(wrong);
        }
        true
    });
    checked.map_err(|error| format!("{}: {error}", path.display()))?;
    complaint(path, &faults)?;
    let file = open()?;
    let rules = Rules {
        format,
        update: true,
        all: false,
        stock: ImportStock::Set,
    };
    let origin = Origin::internal("seed-catalog");
    let importer = Importer {
        state: state.clone(),
        origin,
        key: None,
        rules,
    };
    let (report, _) = importer
        .import(file)
        .await
        .map_err(|problem| problem.detail)?;
    complaint(path, &report)?;
    Ok(report)
}

/// What to say of a file with bad rows.
fn complaint(path: &Path, report: &ImportReport) -> Result<(), String> {
    match report.errors.first() {
        None => Ok(()),
        Some(RowError {
            line,
            column,
            issue,
            ..
        }) => Err(format!(
            "{}: {} wrong; the first in line {line}, {column}: {issue}",
            path.display(),
            refusal::so_many(report.rejected, "row")
        )),
    }
}
