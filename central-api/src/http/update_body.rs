//! The body of `POST /v1/inventory/updates`: one movement, or a batch of them.
//!
//! Well-formed bodies take the short way: one typed parse with borrowed text. A body that this parse
//! refuses is read again as a tree, slowly, to name everything that is wrong with it.
//!
//! In a `per_item` batch a line that breaks a rule is a refused line and not a refused request, as
//! in seed 003; a line whose JSON types are wrong refuses the request.

mod lines;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::domain::ids::{IdempotencyKey, ProductId, StoreId};
use shared::domain::inventory::{Move, Reason};
use shared::limits;
use shared::wire::object::Object;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use self::lines::Lines;

/// A parsed body.
#[derive(Debug, PartialEq, Eq)]
pub struct UpdateBody {
    /// The shop that the body names.
    pub store: Option<StoreId>,
    /// What is asked.
    pub kind: UpdateKind,
}

/// What a body asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// One movement under one key.
    Single {
        /// The movement.
        line: Move,
        /// Its key.
        key: IdempotencyKey,
    },
    /// Movements that stand for themselves, each under its own key.
    PerItem(Vec<Result<(Move, IdempotencyKey), LineFault>>),
    /// Movements that happen together or not at all, under one key.
    All {
        /// The movements.
        lines: Vec<Move>,
        /// Their key.
        key: IdempotencyKey,
    },
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The product id as it was sent; empty if there was none.
    pub product_id: String,
    /// The problem's code.
    pub code: ProblemCode,
    /// The seed-003 word for it.
    pub error_type: &'static str,
    /// The seed-003 sentence for it.
    pub message: String,
    /// Every fault of the line, by field.
    pub details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BodyText<'a> {
    #[serde(borrow, default)]
    store_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    atomicity: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    updates: Option<Lines<'a>>,
    #[serde(borrow, default)]
    product_id: Option<Cow<'a, str>>,
    #[serde(default)]
    delta: Option<i64>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    note: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineText<'a> {
    #[serde(borrow, default)]
    product_id: Option<Cow<'a, str>>,
    #[serde(default)]
    delta: Option<i64>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    note: Option<Cow<'a, str>>,
}

/// Parses a body. `header_key` is the `Idempotency-Key` header, unquoted.
///
/// # Errors
/// A problem that names every fault found.
pub fn parse(body: &[u8], header_key: Option<&str>) -> Result<UpdateBody, Problem> {
    let Object::<BodyText<'_>>(text) =
        serde_json::from_slice(body).map_err(|error| malformed(body, &error))?;
    let mut faults = Vec::new();
    let store = parse_store(text.store_id.as_deref(), &mut faults);
    let body_key = text
        .idempotency_key
        .as_deref()
        .filter(|key| !key.is_empty());
    if let (Some(header), Some(body)) = (header_key, body_key)
        && header != body
    {
        faults.push(Detail::new(
            "idempotencyKey",
            "differs from the Idempotency-Key header",
        ));
    }
    let key = header_key.or(body_key);
    match text.updates {
        Some(Lines(updates)) if updates.len() > limits::BATCH_LINES => {
            faults.push(too_many_lines());
            Err(Problem::with_details(ProblemCode::InvalidRequest, faults))
        }
        Some(Lines(updates)) if !updates.is_empty() => {
            let all = match text.atomicity.as_deref() {
                None | Some("per_item") => false,
                Some("all") => true,
                Some(_) => {
                    faults.push(Detail::new("atomicity", "must be \"per_item\" or \"all\""));
                    false
                }
            };
            let kind = if all {
                parse_all(&updates, key, &mut faults)
            } else {
                Some(parse_per_item(&updates))
            };
            match kind {
                Some(kind) if faults.is_empty() => Ok(UpdateBody { store, kind }),
                _ => Err(Problem::with_details(code_of(&faults), faults)),
            }
        }
        Some(_) | None => {
            let line = LineText {
                product_id: text.product_id,
                delta: text.delta,
                version: text.version,
                idempotency_key: None,
                reason: text.reason,
                reference: text.reference,
                note: text.note,
            };
            match parse_line(&line, key, true) {
                Ok((line, Some(key))) if faults.is_empty() => Ok(UpdateBody {
                    store,
                    kind: UpdateKind::Single { line, key },
                }),
                Ok(_) => Err(Problem::with_details(ProblemCode::InvalidRequest, faults)),
                Err(fault) => Err(line_problem(fault, faults)),
            }
        }
    }
}

/// The missing key has a code of its own, but only where it is the only fault.
fn code_of(faults: &[Detail]) -> ProblemCode {
    match faults {
        [only] if only.field == "idempotencyKey" && only.issue == KEY_MISSING => {
            ProblemCode::IdempotencyKeyRequired
        }
        _ => ProblemCode::InvalidRequest,
    }
}

const KEY_MISSING: &str = "is required, here or as the Idempotency-Key header";

/// A refused single movement, with the members that seed-003 clients read.
fn line_problem(fault: LineFault, mut faults: Vec<Detail>) -> Problem {
    faults.extend(fault.details);
    let mut problem = Problem::new(fault.code, fault.message.clone());
    problem.details = faults;
    if !fault.product_id.is_empty() {
        problem = problem.with("productId", fault.product_id);
    }
    problem
        .with("applied", false)
        .with("errorType", fault.error_type)
        .with("errorMessage", fault.message)
}

fn parse_store(text: Option<&str>, faults: &mut Vec<Detail>) -> Option<StoreId> {
    let text = text.filter(|text| !text.is_empty())?;
    match StoreId::parse(text) {
        Ok(store) => Some(store),
        Err(error) => {
            faults.push(Detail::new("storeId", error.to_string()));
            None
        }
    }
}

fn parse_per_item(lines: &[Object<LineText<'_>>]) -> UpdateKind {
    let parse = |Object(line): &Object<LineText<'_>>| {
        let key = line
            .idempotency_key
            .as_deref()
            .filter(|key| !key.is_empty());
        let (line, key) = parse_line(line, key, true)?;
        // A line without a key was refused by parse_line.
        key.map(|key| (line, key)).ok_or_else(|| LineFault {
            product_id: String::new(),
            code: ProblemCode::IdempotencyKeyRequired,
            error_type: "invalid_request",
            message: "Missing idempotency key".to_owned(),
            details: Vec::new(),
        })
    };
    UpdateKind::PerItem(lines.iter().map(parse).collect())
}

fn parse_all(
    lines: &[Object<LineText<'_>>],
    key: Option<&str>,
    faults: &mut Vec<Detail>,
) -> Option<UpdateKind> {
    let mut moves = Vec::with_capacity(lines.len());
    for (index, Object(line)) in lines.iter().enumerate() {
        if line.idempotency_key.is_some() {
            let issue = "must not be given here: an all-or-nothing batch has one key";
            faults.push(Detail::new(
                format!("updates[{index}].idempotencyKey"),
                issue,
            ));
        }
        match parse_line(line, None, false) {
            Ok((line, _)) => moves.push(line),
            Err(fault) => faults.extend(fault.details.into_iter().map(|detail| Detail {
                field: format!("updates[{index}].{}", detail.field),
                ..detail
            })),
        }
    }
    match key.map(IdempotencyKey::parse) {
        Some(Ok(key)) => return Some(UpdateKind::All { lines: moves, key }),
        Some(Err(error)) => faults.push(Detail::new("idempotencyKey", error.to_string())),
        None => faults.push(Detail::new("idempotencyKey", KEY_MISSING)),
    }
    None
}

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
fn parse_line(
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

/// Names everything that the typed parse would stumble over.
fn malformed(body: &[u8], error: &serde_json::Error) -> Problem {
    let mut problem = Problem::new(ProblemCode::BadRequest, "Invalid JSON");
    problem.details = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            let mut faults = Vec::new();
            check_text(&fields, "", "storeId", &mut faults);
            check_text(&fields, "", "atomicity", &mut faults);
            check_line(&fields, "", &mut faults);
            match fields.get("updates") {
                None | Some(Value::Null) => {}
                Some(Value::Array(lines)) => check_lines(lines, &mut faults),
                Some(_) => faults.push(Detail::new("updates", "must be an array")),
            }
            if faults.is_empty() {
                faults.push(Detail::new("body", error.to_string()));
            }
            faults
        }
        Ok(_) => vec![Detail::new("body", "must be a JSON object")],
        Err(error) => vec![Detail::new("body", error.to_string())],
    };
    problem
}

fn too_many_lines() -> Detail {
    let issue = format!("must hold at most {} lines", limits::BATCH_LINES);
    Detail::new("updates", issue)
}

fn check_lines(lines: &[Value], faults: &mut Vec<Detail>) {
    if lines.len() > limits::BATCH_LINES {
        faults.push(too_many_lines());
    }
    // What one request can ask for bounds what one answer can list.
    for (index, line) in lines.iter().take(limits::BATCH_LINES).enumerate() {
        let at = format!("updates[{index}]");
        match line {
            Value::Object(fields) => check_line(fields, &format!("{at}."), faults),
            _ => faults.push(Detail::new(at, "must be an object")),
        }
    }
}

fn check_line(fields: &serde_json::Map<String, Value>, prefix: &str, faults: &mut Vec<Detail>) {
    for name in ["productId", "idempotencyKey", "reason", "reference", "note"] {
        check_text(fields, prefix, name, faults);
    }
    let whole = "must be an integer without fraction or exponent";
    if let Some(value) = fields
        .get("delta")
        .filter(|value| !value.is_null() && !value.is_i64())
    {
        let issue = if value.is_u64() {
            "is out of range"
        } else {
            whole
        };
        faults.push(Detail::new(format!("{prefix}delta"), issue));
    }
    if let Some(value) = fields
        .get("version")
        .filter(|value| !value.is_null() && !value.is_u64())
    {
        let issue = if value.is_i64() {
            "must not be negative"
        } else {
            whole
        };
        faults.push(Detail::new(format!("{prefix}version"), issue));
    }
}

fn check_text(
    fields: &serde_json::Map<String, Value>,
    prefix: &str,
    name: &str,
    faults: &mut Vec<Detail>,
) {
    if fields
        .get(name)
        .is_some_and(|value| !value.is_null() && !value.is_string())
    {
        faults.push(Detail::new(format!("{prefix}{name}"), "must be a string"));
    }
}

#[cfg(test)]
mod tests;
