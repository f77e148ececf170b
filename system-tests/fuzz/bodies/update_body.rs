//! Any bytes as the body of a movement request: it is refused by naming what is wrong, in a bounded
//! answer, or everything in it is within the limits.
//!
//! The input's first line is the `Idempotency-Key` header, if it is not empty; the rest is the body.

use central_api::http::update_body::{UpdateKind, parse};
use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::Move;
use shared::limits;
use shared::wire::problem::{Detail, Problem};

/// Faults that one answer may list: some for each line of the largest batch.
const FAULTS: usize = limits::BATCH_LINES * 8;

pub(crate) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (head, body) = match end {
        Some(end) => (data.get(..end), data.get(end + 1..)),
        None => (None, Some(data)),
    };
    let head = head.and_then(|head| std::str::from_utf8(head).ok());
    let key = head.filter(|key| !key.is_empty());
    let key = key.map(IdempotencyKey::parse).transpose();
    let key = key.map_err(|error| Detail::new("header.Idempotency-Key", error.to_string()));
    match parse(body.unwrap_or_default(), &key, &Ok(None)) {
        Ok(parsed) => match &parsed.kind {
            UpdateKind::Single { line, .. } => check_line(line),
            UpdateKind::PerItem(lines) => {
                check_count(lines.len());
                for line in lines {
                    match line {
                        Ok((line, _)) => check_line(line),
                        Err(fault) => assert!(!fault.details.is_empty(), "a fault without a name"),
                    }
                }
            }
            UpdateKind::All { lines, .. } => {
                check_count(lines.len());
                lines.iter().for_each(check_line);
            }
        },
        Err(problem) => check_problem(&problem),
    }
}

fn check_count(lines: usize) {
    assert!((1..=limits::BATCH_LINES).contains(&lines), "{lines} lines");
}

fn check_line(line: &Move) {
    assert!(line.delta != 0, "a movement of nothing");
    assert!(line.delta.unsigned_abs() <= limits::DELTA_UNITS.unsigned_abs());
    assert!(line.reason.fits(line.delta), "{line:?}");
    for text in [&line.reference, &line.note].into_iter().flatten() {
        assert!(text.len() <= limits::NOTE_BYTES, "{} bytes", text.len());
    }
}

fn check_problem(problem: &Problem) {
    assert_eq!(problem.code.status().as_u16(), 400, "{problem:?}");
    assert!(!problem.details.is_empty(), "a refusal that names nothing");
    assert!(problem.details.len() <= FAULTS, "{}", problem.details.len());
    for detail in &problem.details {
        assert!(detail.field.len() <= 64, "{detail:?}");
        assert!(detail.issue.len() <= 512, "{detail:?}");
    }
}
