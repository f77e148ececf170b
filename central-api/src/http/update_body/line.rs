//! One movement of a body: every rule that a line can break by itself.
//!
//! The rules are checked in the order in which seed 003 reports them, and each fault has that seed's
//! word beside our own code, because its clients decide by the word.
//!
//! What must stay true: all faults of a line are found, not only the first, and a line without faults
//! is a [`Move`] that the ledger can take. Whether there is stock for it is not known here.

use std::sync::Arc;

use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::{Move, Reason};
use shared::limits;
use shared::wire::problem::{Detail, ProblemCode};

use super::super::fields::KEY_MISSING;
use super::{LineFault, LineText};

/// The faults of one line so far. Rules are checked in the order in which seed 003 reports them: the
/// first fault gives the line its code, all are listed.
#[derive(Default)]
struct Faults {
    first: Option<(ProblemCode, &'static str, String)>,
    details: Vec<Detail>,
}

impl Faults {
    fn add(&mut self, code: ProblemCode, error_type: &'static str, field: &str, issue: String) {
        let message = format!("{field}: {issue}");
        self.add_worded(code, error_type, &message, field, issue);
    }

    /// A fault for which seed 003 has words of its own.
    fn add_worded(
        &mut self,
        code: ProblemCode,
        error_type: &'static str,
        message: &str,
        field: &str,
        issue: String,
    ) {
        self.first
            .get_or_insert_with(|| (code, error_type, message.to_owned()));
        self.details.push(Detail::new(field, issue));
    }

    fn invalid(&mut self, field: &str, issue: String) {
        self.add(ProblemCode::InvalidRequest, "invalid_request", field, issue);
    }

    fn into_fault(self, product_id: &str) -> LineFault {
        let unnamed = || {
            (
                ProblemCode::InvalidRequest,
                "invalid_request",
                String::new(),
            )
        };
        let (code, error_type, message) = self.first.unwrap_or_else(unnamed);
        let product_id = product_id.to_owned();
        LineFault {
            product_id,
            code,
            error_type,
            message,
            details: self.details,
        }
    }
}

/// Parses one movement.
pub(super) fn parse_line(
    line: &LineText<'_>,
    key: Option<&str>,
    needs_key: bool,
) -> Result<(Move, Option<IdempotencyKey>), LineFault> {
    let mut faults = Faults::default();
    let named = line.product_id.as_deref().unwrap_or_default();
    let product = parse_product(named, &mut faults);
    let key = parse_key(key, needs_key, &mut faults);
    let movement = parse_movement(line, &mut faults);
    let reference = parse_text("reference", line.reference.as_deref(), &mut faults);
    let note = parse_text("note", line.note.as_deref(), &mut faults);
    match (product, movement) {
        (Some(product), Some((delta, reason))) if faults.details.is_empty() => {
            let expected_version = line.version;
            Ok((
                Move {
                    product,
                    delta,
                    reason,
                    expected_version,
                    reference,
                    note,
                },
                key,
            ))
        }
        _ => Err(faults.into_fault(named)),
    }
}

fn parse_product(text: &str, faults: &mut Faults) -> Option<ProductId> {
    if text.is_empty() {
        let (code, word) = (ProblemCode::MissingProductId, "missing_product_id");
        faults.add_worded(
            code,
            word,
            "Missing product ID",
            "productId",
            "is required".to_owned(),
        );
        return None;
    }
    ProductId::parse(text)
        .map_err(|error| faults.invalid("productId", error.to_string()))
        .ok()
}

fn parse_key(text: Option<&str>, required: bool, faults: &mut Faults) -> Option<IdempotencyKey> {
    let Some(text) = text else {
        if required {
            let (code, word) = (ProblemCode::IdempotencyKeyRequired, "invalid_request");
            let (message, issue) = ("Missing idempotency key", KEY_MISSING.to_owned());
            faults.add_worded(code, word, message, "idempotencyKey", issue);
        }
        return None;
    };
    let parsed = IdempotencyKey::parse(text);
    parsed
        .map_err(|error| faults.invalid("idempotencyKey", error.to_string()))
        .ok()
}

fn parse_text(field: &str, text: Option<&str>, faults: &mut Faults) -> Option<Arc<str>> {
    let text = text?;
    if text.len() > limits::NOTE_BYTES {
        faults.invalid(
            field,
            format!("must be at most {} bytes", limits::NOTE_BYTES),
        );
    }
    Some(Arc::from(text))
}

/// The change and its reason, which must fit each other.
fn parse_movement(line: &LineText<'_>, faults: &mut Faults) -> Option<(i64, Reason)> {
    let word = line.reason.as_deref();
    let reason = word.and_then(Reason::parse);
    if word.is_some() && reason.is_none() {
        let words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        faults.invalid("reason", format!("must be one of {}", words.join(", ")));
    }
    let delta = parse_delta(line.delta, faults)?;
    match reason {
        Some(reason) if reason.fits(delta) => Some((delta, reason)),
        Some(reason) => {
            let direction = if delta < 0 { "negative" } else { "positive" };
            let issue = format!("\"{reason}\" does not go with a {direction} delta");
            faults.invalid("reason", issue);
            None
        }
        None if word.is_some() => None,
        None if delta < 0 => Some((delta, Reason::Sale)),
        None => {
            let message = format!(
                "invalid delta: {delta} - only negative quantities are allowed without a reason"
            );
            let issue = "is required for a positive delta".to_owned();
            let code = ProblemCode::InvalidRequest;
            faults.add_worded(code, "invalid_request", &message, "reason", issue);
            None
        }
    }
}

fn parse_delta(delta: Option<i64>, faults: &mut Faults) -> Option<i64> {
    let (code, word) = (ProblemCode::InvalidDelta, "invalid_delta");
    match delta {
        None => faults.add(code, word, "delta", "is required".to_owned()),
        Some(0) => {
            let message = "invalid delta: 0 - must not be zero";
            faults.add_worded(code, word, message, "delta", "must not be 0".to_owned());
        }
        Some(delta) if delta.unsigned_abs() > limits::DELTA_UNITS.unsigned_abs() => {
            let issue = format!("must be within ±{}", limits::DELTA_UNITS);
            faults.add(code, word, "delta", issue);
        }
        Some(delta) => return Some(delta),
    }
    None
}
