//! `POST /v1/admin/products/import` and `GET /v1/admin/products/export`.
//!
//! A file is read by a thread of its own, row by row, and decided in chunks: each chunk is one
//! decision, so it happens whole or not at all, and a few chunks are under way at a time. With an
//! `Idempotency-Key` chunk *n* has the key `<key>.<n>`: sending the same file again after a cut goes
//! on where it stopped, and what was decided is only looked up.
//!
//! Modes: `upsert` (the default) creates and changes, `create` only creates, `all` is an upsert in
//! which one bad row refuses the whole file, which must then fit into one decision.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};
use serde::Serialize;
use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::{
    Atomicity, Command, EventKind, ImportRow, ImportStock, ItemResult,
};
use shared::domain::origin::Origin;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::AppState;
use super::admin_products::{decide, origin};
use super::updates::header_key;
use crate::export::{self, ExportFormat};
use crate::import::{FileError, Format, Row, RowError, read};

/// Chunks that may wait for the writer while the next are read.
const CHUNKS_AHEAD: usize = 4;
/// Rows of a file in which one bad row refuses all: one decision, about ten megabytes of log.
const ALL_ROWS: usize = 10_000;
/// Longest suffix that a chunk's key gets.
const KEY_SUFFIX_BYTES: usize = 12;
/// Parts of an export that may wait for a slow reader.
const PARTS_AHEAD: usize = 4;

/// What an import led to.
#[derive(Debug, Default, Serialize)]
pub struct ImportReport {
    /// Rows in the file.
    pub rows: u64,
    /// Products that did not exist.
    pub created: u64,
    /// Products that were changed.
    pub updated: u64,
    /// Products that were as the row wants them.
    pub unchanged: u64,
    /// Rows that were not applied.
    pub rejected: u64,
    /// Why; the first thousand.
    pub errors: Vec<RowError>,
}

/// How a file is to be taken.
#[derive(Clone, Debug)]
struct Rules {
    format: Format,
    update: bool,
    all: bool,
    stock: ImportStock,
}

/// Imports the request's body.
///
/// # Errors
/// 400 for bad parameters or a file that makes no sense as a whole, 415 for another type; with
/// `mode=all` 400 with every bad row.
pub async fn post_import(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<ImportReport>, Problem> {
    caller.require(Scope::Admin)?;
    let rules = rules(&uri, &headers)?;
    let key = header_key(&headers)?;
    if key
        .as_ref()
        .is_some_and(|key| key.len() + KEY_SUFFIX_BYTES > limits::IDEMPOTENCY_KEY_BYTES)
    {
        let issue = "must leave 12 characters for the number of the chunk";
        let detail = Detail::new("header.Idempotency-Key", issue);
        return Err(Problem::with_details(
            ProblemCode::InvalidRequest,
            vec![detail],
        ));
    }
    let body = request
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    let bridge = SyncIoBridge::new(StreamReader::new(body));
    let importer = Importer {
        state,
        origin: origin(&caller, &context, None),
        key,
        rules,
    };
    importer
        .import(bridge.take(limits::IMPORT_BYTES))
        .await
        .map(Json)
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
    let report = importer
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
            "{}: {} rows are wrong; the first in line {line}, {column}: {issue}",
            path.display(),
            report.rejected
        )),
    }
}

fn rules(uri: &Uri, headers: &HeaderMap) -> Result<Rules, Problem> {
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
    params.finish()?;
    let (update, all) = mode.unwrap_or((true, false));
    Ok(Rules {
        format,
        update,
        all,
        stock: stock.unwrap_or(ImportStock::Keep),
    })
}

/// One import.
struct Importer {
    state: AppState,
    origin: Origin,
    key: Option<String>,
    rules: Rules,
}

impl Importer {
    async fn import(self, file: impl Read + Send + 'static) -> Result<ImportReport, Problem> {
        let chunk_rows = if self.rules.all {
            ALL_ROWS
        } else {
            limits::IMPORT_CHUNK_ROWS
        };
        let format = self.rules.format;
        let (chunks, mut waiting) = mpsc::channel::<Vec<Row>>(CHUNKS_AHEAD);
        let reader =
            tokio::task::spawn_blocking(move || read_chunks(format, file, chunk_rows, &chunks));
        let mut report = ImportReport::default();
        let mut number = 0_u32;
        while let Some(rows) = waiting.recv().await {
            if self.rules.all && number > 0 {
                return Err(self.too_many());
            }
            self.decide_chunk(rows, number, &mut report).await?;
            number += 1;
        }
        match reader.await {
            Ok(Ok(())) => Ok(report),
            Ok(Err(error)) => Err(file_problem(&error)),
            Err(_) => Err(Problem::new(
                ProblemCode::Internal,
                "the file could not be read",
            )),
        }
    }

    fn too_many(&self) -> Problem {
        let sentence = format!("with mode=all a file has at most {ALL_ROWS} rows");
        Problem::new(ProblemCode::InvalidRequest, sentence)
    }

    async fn decide_chunk(
        &self,
        rows: Vec<Row>,
        number: u32,
        report: &mut ImportReport,
    ) -> Result<(), Problem> {
        report.rows += rows.len() as u64;
        let mut lines = Vec::with_capacity(rows.len());
        let mut good: Vec<ImportRow> = Vec::with_capacity(rows.len());
        for row in rows {
            match row.parsed {
                Ok(parsed) => {
                    lines.push(row.line);
                    good.push(parsed);
                }
                Err(faults) => report.reject(faults),
            }
        }
        if self.rules.all && report.rejected > 0 {
            return Err(refused_whole(report));
        }
        if good.is_empty() {
            return Ok(());
        }
        let atomicity = if self.rules.all {
            Atomicity::All
        } else {
            Atomicity::PerItem
        };
        let Rules { update, stock, .. } = self.rules;
        let key = self
            .key
            .as_ref()
            .map(|key| IdempotencyKey::parse(&format!("{key}.{number}")));
        let key = key.transpose().map_err(|error| {
            let detail = Detail::new("header.Idempotency-Key", error.to_string());
            Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
        })?;
        let origin = Origin {
            key,
            ..self.origin.clone()
        };
        let command = Command::Import {
            rows: good,
            update,
            stock,
            atomicity,
        };
        let (decided, _) = decide(&self.state, origin, command).await?;
        for (line, result) in lines.into_iter().zip(&decided.decision.results) {
            match result {
                ItemResult::Unchanged => report.unchanged += 1,
                ItemResult::Applied(index) => {
                    let event = decided.decision.events.get(*index);
                    match event.map(|event| event.kind) {
                        Some(EventKind::Created) => report.created += 1,
                        Some(EventKind::Updated | EventKind::Deleted) | None => report.updated += 1,
                    }
                }
                ItemResult::Refused(rejection) => report.reject(vec![RowError {
                    line,
                    column: "productId".to_owned(),
                    value: rejection.product_id().to_string(),
                    issue: rejection.to_string(),
                }]),
            }
        }
        if self.rules.all && report.rejected > 0 {
            return Err(refused_whole(report));
        }
        Ok(())
    }
}

impl ImportReport {
    fn reject(&mut self, faults: Vec<RowError>) {
        self.rejected += 1;
        let room = limits::IMPORT_ERRORS_LISTED.saturating_sub(self.errors.len());
        self.errors.extend(faults.into_iter().take(room));
    }
}

/// The problem of a file that was refused because of some rows.
fn refused_whole(report: &ImportReport) -> Problem {
    let sentence = format!("nothing was imported: {} rows are wrong", report.rejected);
    let details = report.errors.iter().map(|error| {
        Detail::new(
            format!("line {}, {}", error.line, error.column),
            error.issue.clone(),
        )
    });
    let details = details.collect();
    Problem {
        details,
        ..Problem::new(ProblemCode::ValidationError, sentence)
    }
}

fn file_problem(error: &FileError) -> Problem {
    let detail = Detail::new("body", error.to_string());
    Problem::with_details(ProblemCode::BadRequest, vec![detail])
}

/// Reads the file chunk by chunk, until nobody wants more.
fn read_chunks(
    format: Format,
    file: impl Read,
    chunk_rows: usize,
    chunks: &mpsc::Sender<Vec<Row>>,
) -> Result<(), FileError> {
    let mut chunk = Vec::with_capacity(chunk_rows);
    read(format, file, |row| {
        chunk.push(row);
        if chunk.len() < chunk_rows {
            return true;
        }
        let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_rows));
        chunks.blocking_send(full).is_ok()
    })?;
    if !chunk.is_empty() {
        // Whoever waited may have gone; then nobody minds.
        chunks.blocking_send(chunk).ok();
    }
    Ok(())
}

/// The whole catalogue as a file.
///
/// # Errors
/// 400 for a bad parameter.
pub async fn get_export(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["format"]);
    let formats = [("csv", ExportFormat::Csv), ("ndjson", ExportFormat::Ndjson)];
    let format = params.choice("format", &formats);
    params.finish()?;
    let format = format.unwrap_or(ExportFormat::Ndjson);
    let (parts, waiting) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(PARTS_AHEAD);
    let ledger = state.ledger.clone();
    tokio::task::spawn_blocking(move || {
        let mut products = ledger.view().collect();
        products.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let products = products.iter().map(|published| &published.product);
        // A reader that goes away ends the export.
        export::write(format, products, |part| {
            parts.blocking_send(Ok(part)).is_ok()
        });
    });
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    let stream = futures_util::stream::unfold(waiting, |waiting| async move {
        let part = waiting.lock().await.recv().await?;
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
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_DISPOSITION, HeaderValue::from_static(name)),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}
