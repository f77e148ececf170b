//! `POST /v1/admin/products/import` and `GET /v1/admin/products/export`.
//!
//! A file is read by a thread of its own, row by row, and decided in chunks: each chunk is one
//! decision, so it happens whole or not at all, and a few chunks are under way at a time. With an
//! `Idempotency-Key` chunk *n* has the key `<key>.<n>`: sending the same file again after a cut goes
//! on where it stopped, and what was decided is only looked up. `stock=set` moves stock and needs a
//! key; without it rows only say how a product shall be, and saying that twice changes nothing.
//!
//! A file that breaks off after some chunks are decided is answered with what was done, `complete`
//! being false, and an error that says from which line on nothing was read.
//!
//! Modes: `upsert` (the default) creates and changes, `create` only creates, `all` is an upsert in
//! which one bad row refuses the whole file, which must then fit into one decision.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Uri};
use serde::Serialize;
use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::{
    Atomicity, Command, EventKind, ImportRow, ImportStock, ItemResult,
};
use shared::domain::origin::Origin;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::{Coding, Packer};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::headers::{LOG_GEN, LOG_HEAD};
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};
use utoipa::ToSchema;

use super::admin_products::{decide, origin};
use super::inventory::ListProblems;
use super::updates::{header_key, mark};
use super::{AppState, examples};
use crate::export::{self, ExportFormat};
use crate::import::{FileError, Format, Row, RowError, read};
use crate::ledger::Decided;

/// Chunks that are read ahead, and chunks that may wait for the writer: enough to share a sync, few
/// enough that tills do not notice.
const CHUNKS_AHEAD: usize = 4;
/// How often and how long an import waits for a busy writer before it gets in line all the same.
const GIVE_WAY_TIMES: usize = 200;
const GIVE_WAY: std::time::Duration = std::time::Duration::from_millis(10);
/// Rows of a file in which one bad row refuses all: one decision, about ten megabytes of log.
const ALL_ROWS: usize = 10_000;
/// Longest suffix that a chunk's key gets.
const KEY_SUFFIX_BYTES: usize = 12;
/// Parts of an export that may wait for a slow reader.
const PARTS_AHEAD: usize = 4;

/// What an import led to.
#[derive(Debug, Default, Serialize, ToSchema)]
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
    /// Whether the file was read to its end.
    pub complete: bool,
}

/// How a file is to be taken.
#[derive(Clone, Debug)]
struct Rules {
    format: Format,
    update: bool,
    all: bool,
    stock: ImportStock,
}

shared::problem_set! {
    /// What a file can be refused for as a whole.
    ImportProblems = BadRequest | InvalidRequest | ValidationError | IdempotencyKeyRequired
        | IdempotencyKeyReused | Overloaded | ShuttingDown | Timeout;
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
    let rules = rules(&uri, &headers)?;
    let key = header_key(&headers)?;
    if key.is_none() && rules.stock == ImportStock::Set {
        let detail = Detail::new("header.Idempotency-Key", "is required with stock=set");
        let code = ProblemCode::IdempotencyKeyRequired;
        return Err(Problem::with_details(code, vec![detail]));
    }
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
    let body = in_time(request.into_body());
    let importer = Importer {
        state,
        origin: origin(&caller, &context, None),
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

/// A decision on its way.
type Answer = Pin<Box<dyn Future<Output = Result<(Arc<Decided>, bool), Problem>> + Send>>;

/// A chunk that is being decided.
struct UnderWay {
    rows: usize,
    /// Lines of the rows that are decided.
    lines: Vec<u64>,
    /// What is wrong with the others.
    faults: Vec<Vec<RowError>>,
    answer: Option<Answer>,
    answered: Option<Result<(Arc<Decided>, bool), Problem>>,
}

/// How far an import has come.
#[derive(Default)]
struct Progress {
    report: ImportReport,
    last_line: u64,
    decided: usize,
    replayed: usize,
}

impl Importer {
    /// Imports `file`. Also says whether all of it was decided by an earlier request.
    async fn import(
        self,
        file: impl Read + Send + 'static,
    ) -> Result<(ImportReport, bool), Problem> {
        let format = self.rules.format;
        let (chunks, mut waiting) = mpsc::channel::<Vec<Row>>(CHUNKS_AHEAD);
        let reader = tokio::task::spawn_blocking(move || read_chunks(format, file, &chunks));
        let mut progress = Progress::default();
        let mut whole = Vec::new();
        if self.rules.all {
            while let Some(mut rows) = waiting.recv().await {
                whole.append(&mut rows);
                if whole.len() > ALL_ROWS {
                    let sentence = format!("with mode=all a file has at most {ALL_ROWS} rows");
                    return Err(Problem::new(ProblemCode::InvalidRequest, sentence));
                }
            }
        } else {
            self.decide_chunks(&mut waiting, &mut progress).await?;
        }
        // Lets the reader go if it is still waiting for room.
        drop(waiting);
        let end = reader.await.unwrap_or_else(|_| {
            let sentence = "the reader of the file has failed";
            Err(FileError::Io(io::Error::other(sentence)))
        });
        match end {
            Ok(()) => {}
            Err(error) if progress.report.rows == 0 => return Err(file_problem(&error)),
            Err(error) => {
                progress.break_off(&error);
                return Ok((progress.report, false));
            }
        }
        if self.rules.all {
            self.decide_whole(whole, &mut progress).await?;
        }
        progress.report.complete = true;
        let replayed = progress.decided > 0 && progress.replayed == progress.decided;
        Ok((progress.report, replayed))
    }

    /// Decides chunk after chunk in the order of the file, a few at a time.
    async fn decide_chunks(
        &self,
        waiting: &mut mpsc::Receiver<Vec<Row>>,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let mut under_way = VecDeque::new();
        let mut number = 0_u32;
        while let Some(rows) = waiting.recv().await {
            if under_way.len() >= CHUNKS_AHEAD
                && let Some(oldest) = under_way.pop_front()
            {
                progress.settle(oldest).await?;
            }
            self.give_way().await;
            under_way.push_back(self.submit(rows, number).await?);
            number += 1;
        }
        for chunk in under_way {
            progress.settle(chunk).await?;
        }
        Ok(())
    }

    /// Waits while many commands wait for the writer: tills come first.
    async fn give_way(&self) {
        for _ in 0..GIVE_WAY_TIMES {
            if self.state.ledger.queue_depth() < limits::WRITER_QUEUE / 2 {
                return;
            }
            tokio::time::sleep(GIVE_WAY).await;
        }
    }

    async fn decide_whole(&self, rows: Vec<Row>, progress: &mut Progress) -> Result<(), Problem> {
        let mut wrong = ImportReport::default();
        for row in &rows {
            if let Err(faults) = &row.parsed {
                wrong.reject(faults.clone());
            }
        }
        if wrong.rejected > 0 {
            wrong.rows = rows.len() as u64;
            return Err(refused_whole(&wrong));
        }
        let chunk = self.submit(rows, 0).await?;
        progress.settle(chunk).await?;
        if progress.report.rejected > 0 {
            return Err(refused_whole(&progress.report));
        }
        Ok(())
    }

    /// Hands a chunk to the ledger. It stands in the queue when this returns, so chunks are decided
    /// in the order in which they are submitted.
    async fn submit(&self, rows: Vec<Row>, number: u32) -> Result<UnderWay, Problem> {
        let mut chunk = UnderWay {
            rows: rows.len(),
            lines: Vec::with_capacity(rows.len()),
            faults: Vec::new(),
            answer: None,
            answered: None,
        };
        let mut good: Vec<ImportRow> = Vec::with_capacity(rows.len());
        for row in rows {
            match row.parsed {
                Ok(parsed) => {
                    chunk.lines.push(row.line);
                    good.push(parsed);
                }
                Err(faults) => chunk.faults.push(faults),
            }
        }
        if good.is_empty() {
            return Ok(chunk);
        }
        let mut answer = self.command(good, number)?;
        match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            Poll::Ready(answered) => chunk.answered = Some(answered),
            Poll::Pending => chunk.answer = Some(answer),
        }
        Ok(chunk)
    }

    fn command(&self, rows: Vec<ImportRow>, number: u32) -> Result<Answer, Problem> {
        let Rules {
            update, all, stock, ..
        } = self.rules;
        let atomicity = if all {
            Atomicity::All
        } else {
            Atomicity::PerItem
        };
        let key = self.key.as_ref();
        let key = key.map(|key| IdempotencyKey::parse(&format!("{key}.{number}")));
        let key = key.transpose().map_err(|error| {
            let detail = Detail::new("header.Idempotency-Key", error.to_string());
            Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
        })?;
        let origin = Origin {
            key,
            ..self.origin.clone()
        };
        let command = Command::Import {
            rows,
            update,
            stock,
            atomicity,
        };
        let state = self.state.clone();
        Ok(Box::pin(
            async move { decide(&state, origin, command).await },
        ))
    }
}

impl Progress {
    /// Waits for a chunk and counts what became of its rows.
    async fn settle(&mut self, chunk: UnderWay) -> Result<(), Problem> {
        let UnderWay {
            rows,
            lines,
            faults,
            answer,
            answered,
        } = chunk;
        let answered = match (answered, answer) {
            (Some(answered), _) => Some(answered),
            (None, Some(answer)) => Some(answer.await),
            (None, None) => None,
        };
        let mut wrong = faults;
        let last = wrong.last().and_then(|faults| faults.first());
        let last_fault = last.map_or(0, |fault| fault.line);
        self.last_line = last_fault.max(lines.last().copied().unwrap_or(0));
        if let Some(answered) = answered {
            let (decided, replayed) =
                answered.map_err(|problem| interrupted(problem, &self.report))?;
            self.decided += 1;
            self.replayed += usize::from(replayed);
            self.count(&lines, &decided, &mut wrong);
        }
        wrong.sort_by_key(|faults| faults.first().map_or(0, |fault| fault.line));
        wrong
            .into_iter()
            .for_each(|faults| self.report.reject(faults));
        self.report.rows += rows as u64;
        Ok(())
    }

    fn count(&mut self, lines: &[u64], decided: &Decided, wrong: &mut Vec<Vec<RowError>>) {
        for (line, result) in lines.iter().zip(&decided.decision.results) {
            match result {
                ItemResult::Unchanged => self.report.unchanged += 1,
                ItemResult::Applied(index) => {
                    let event = decided.decision.events.get(*index);
                    match event.map(|event| event.kind) {
                        Some(EventKind::Created) => self.report.created += 1,
                        Some(EventKind::Updated | EventKind::Deleted) | None => {
                            self.report.updated += 1;
                        }
                    }
                }
                ItemResult::Refused(rejection) => wrong.push(vec![RowError {
                    line: *line,
                    column: "productId".to_owned(),
                    value: rejection.product_id().to_string(),
                    issue: rejection.to_string(),
                }]),
            }
        }
    }

    fn break_off(&mut self, error: &FileError) {
        self.report.reject(vec![RowError {
            line: self.last_line + 1,
            column: String::new(),
            value: String::new(),
            issue: format!("{error}; nothing from here on was read"),
        }]);
    }
}

/// A problem after some chunks were decided. It says what was done, and no longer that nothing was.
fn interrupted(mut problem: Problem, report: &ImportReport) -> Problem {
    if report.rows == 0 {
        return problem;
    }
    if problem.code.is_retryable() {
        problem.code = ProblemCode::Timeout;
        problem.detail = format!(
            "the import was interrupted after {} rows; send it again with the same key",
            report.rows
        );
    }
    problem
        .with("rows", report.rows)
        .with("created", report.created)
        .with("updated", report.updated)
        .with("unchanged", report.unchanged)
        .with("rejected", report.rejected)
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
    let problem = Problem {
        details,
        ..Problem::new(ProblemCode::ValidationError, sentence)
    };
    let errors = serde_json::to_value(&report.errors).unwrap_or_default();
    problem
        .with("rows", report.rows)
        .with("rejected", report.rejected)
        .with("errors", errors)
}

fn file_problem(error: &FileError) -> Problem {
    let kind = match error {
        FileError::Io(error) => Some(error.kind()),
        FileError::Header(_) => None,
    };
    let code = match kind {
        Some(io::ErrorKind::TimedOut) => ProblemCode::BodyTimeout,
        Some(io::ErrorKind::FileTooLarge) => ProblemCode::BodyTooLarge,
        _ => ProblemCode::BadRequest,
    };
    Problem::with_details(code, vec![Detail::new("body", error.to_string())])
}

/// Reads the file chunk by chunk, until nobody wants more.
fn read_chunks(
    format: Format,
    file: impl Read,
    chunks: &mpsc::Sender<Vec<Row>>,
) -> Result<(), FileError> {
    let chunk_rows = limits::IMPORT_CHUNK_ROWS;
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
    let (parts, waiting) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(PARTS_AHEAD);
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
