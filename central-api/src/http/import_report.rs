//! What became of an import: the counts, the faults, and how an import that was cut off says so.

use serde::Serialize;
use shared::domain::inventory::{EventKind, ItemResult};
use shared::limits;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use utoipa::ToSchema;

use super::importer::UnderWay;
use super::refusal;
use crate::import::{FileError, RowError};
use crate::ledger::Decided;

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

/// How far an import has come.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) report: ImportReport,
    last_line: u64,
    pub(super) decided: usize,
    pub(super) replayed: usize,
}

impl Progress {
    /// Waits for a chunk and counts what became of its rows.
    pub(super) async fn settle(&mut self, chunk: UnderWay) -> Result<(), Problem> {
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
                    value: rejection
                        .product_id()
                        .map_or_else(String::new, ToString::to_string),
                    issue: rejection.to_string(),
                }]),
            }
        }
    }

    pub(super) fn break_off(&mut self, error: &FileError) {
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
    pub(super) fn reject(&mut self, faults: Vec<RowError>) {
        self.rejected += 1;
        let room = limits::IMPORT_ERRORS_LISTED.saturating_sub(self.errors.len());
        self.errors.extend(faults.into_iter().take(room));
    }
}

/// The problem of a file that was refused because of some rows.
pub(super) fn refused_whole(report: &ImportReport) -> Problem {
    let rows = refusal::so_many(report.rejected, "row");
    let sentence = format!("nothing was imported: {rows} wrong");
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
