//! An import under way.
//!
//! A file is read by a thread of its own, row by row, and decided in chunks: each chunk is one
//! decision, so it happens whole or not at all, and a few chunks are under way at a time. With an
//! `Idempotency-Key` chunk *n* has the key `<key>.<n>`: sending the same file again after a cut goes
//! on where it stopped, and what was decided is only looked up.
//!
//! A file that breaks off after some chunks are decided is answered with what was done, `complete`
//! being false, and an error that says from which line on nothing was read.
//!
//! Modes: `upsert` (the default) creates and changes, `create` only creates, `all` is an upsert in
//! which one bad row refuses the whole file, which must then fit into one decision.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::{Atomicity, Command, ImportRow, ImportStock};
use shared::domain::origin::Origin;
use shared::limits;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::AppState;
use super::decision::decide;
use super::import_report::{ImportReport, Progress, refused_whole};
use crate::import::{FileError, Format, Row, RowError, read};
use crate::ledger::Decided;

/// How often an import looks whether the writer is still busy.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How a file is to be taken.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) format: Format,
    pub(super) update: bool,
    pub(super) all: bool,
    pub(super) stock: ImportStock,
}

/// One import.
pub(super) struct Importer {
    pub(super) state: AppState,
    pub(super) origin: Origin,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) rules: Rules,
}

/// A decision on its way.
pub(super) type Answer =
    Pin<Box<dyn Future<Output = Result<(Arc<Decided>, bool), Problem>> + Send>>;

impl Importer {
    /// Imports `file`. Also says whether all of it was decided by an earlier request.
    pub(super) async fn import(
        self,
        file: impl Read + Send + 'static,
    ) -> Result<(ImportReport, bool), Problem> {
        let format = self.rules.format;
        let (chunks, mut waiting) = mpsc::channel::<Vec<Row>>(limits::IMPORT_CHUNKS_AHEAD);
        let reader = tokio::task::spawn_blocking(move || read_chunks(format, file, &chunks));
        let mut progress = Progress::default();
        let mut whole = Vec::new();
        if self.rules.all {
            while let Some(mut rows) = waiting.recv().await {
                whole.append(&mut rows);
                let most = limits::IMPORT_ALL_ROWS;
                if whole.len() > most {
                    let sentence = format!("with mode=all a file has at most {most} rows");
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

    /// Decides chunk after chunk in the order of the file, a few at a time. After the first that cannot
    /// be decided none is begun, and what was begun is waited for: the answer says what was done.
    async fn decide_chunks(
        &self,
        waiting: &mut mpsc::Receiver<Vec<Row>>,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let mut under_way = VecDeque::new();
        let mut number = 0_u32;
        let mut told = Ok(());
        while told.is_ok()
            && let Some(rows) = waiting.recv().await
        {
            if under_way.len() >= limits::IMPORT_CHUNKS_AHEAD
                && let Some(oldest) = under_way.pop_front()
            {
                told = progress.settle(oldest).await;
                if told.is_err() {
                    break;
                }
            }
            self.give_way().await;
            let chunk = match self.submit(rows, number).await {
                Ok(chunk) => chunk,
                Err(problem) => {
                    told = Err(problem);
                    break;
                }
            };
            let is_refused = matches!(chunk.answered, Some(Err(_)));
            under_way.push_back(chunk);
            number += 1;
            if is_refused {
                break;
            }
        }
        for chunk in under_way {
            let settled = progress.settle(chunk).await;
            told = told.and(settled);
        }
        told
    }

    /// Waits while many commands wait for the writer: tills come first.
    async fn give_way(&self) {
        let until = Instant::now() + limits::IMPORT_GIVES_WAY;
        while self.state.ledger.queue_depth() >= limits::WRITER_QUEUE / 2 && Instant::now() < until
        {
            tokio::time::sleep(LOOK_EVERY).await;
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

/// A chunk that is being decided.
pub(super) struct UnderWay {
    pub(super) rows: usize,
    /// Lines of the rows that are decided.
    pub(super) lines: Vec<u64>,
    /// What is wrong with the others.
    pub(super) faults: Vec<Vec<RowError>>,
    pub(super) answer: Option<Answer>,
    pub(super) answered: Option<Result<(Arc<Decided>, bool), Problem>>,
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
