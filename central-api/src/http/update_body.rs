//! The body of `POST /v1/inventory/updates`: one movement, or a batch of them.
//!
//! Well-formed bodies take the short way: one typed parse with borrowed text. A body that this parse
//! refuses is read again as a tree, slowly, to name everything that is wrong with it.
//!
//! In a `per_item` batch a line that breaks a rule is a refused line and not a refused request, as
//! in seed 003; a line whose JSON types are wrong refuses the request. What is refused, for whatever
//! reason, is told all that its lines would be refused for as well.

mod line;
mod lines;
mod malformed;

use std::borrow::Cow;

use serde::Deserialize;
use shared::domain::ids::{IdempotencyKey, StoreId};
use shared::domain::inventory::Move;
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::service::precondition::{Condition, IfMatch};
use shared::wire::object::Object;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use self::line::parse_line;
use self::lines::Lines;
use self::malformed::{malformed, too_many_lines};
use super::fields::{self, KEY_MISSING, code_of};

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
    PerItem(Vec<LineResult>),
    /// Movements that happen together or not at all, under one key.
    All {
        /// The movements.
        lines: Vec<Move>,
        /// Their key.
        key: IdempotencyKey,
    },
}

/// A line that stands for itself, with its key.
pub type LineResult = Result<(Move, IdempotencyKey), LineFault>;

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

impl LineFault {
    /// Its faults as those of the line at `index`.
    fn within(self, index: usize) -> impl Iterator<Item = Detail> {
        self.details.into_iter().map(move |detail| Detail {
            field: format!("updates[{index}].{}", detail.field),
            ..detail
        })
    }
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

/// One line of a batch; the members of a body that is one movement are the same. They stand there
/// twice because serde's `flatten` would keep every member as a tree before it reads one.
#[derive(Default, Deserialize)]
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

/// Stands in for a key of the header that is none, so that it is not called missing as well. The
/// request is refused already.
const WRONG_KEY: &str = "-";

/// Parses a body, under what the headers `Idempotency-Key` and `If-Match` say.
///
/// # Errors
/// A problem that names every fault found, also those of the headers.
pub fn parse(body: &[u8], key: &KeyHeader, if_match: &IfMatch) -> Result<UpdateBody, Problem> {
    match serde_json::from_slice(body) {
        Ok(Object(text)) => check(text, key, if_match),
        Err(error) => Err(malformed(body, &error, key, if_match)),
    }
}

/// What is wrong with the headers.
fn beside<'f>(key: &'f KeyHeader, if_match: &'f IfMatch) -> [Option<&'f Detail>; 2] {
    [key.as_ref().err(), if_match.as_ref().err()]
}

/// Checks every rule of a body whose JSON types are right.
fn check(text: BodyText<'_>, key: &KeyHeader, if_match: &IfMatch) -> Result<UpdateBody, Problem> {
    let mut faults: Vec<Detail> = beside(key, if_match)
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let (header_key, instead) = match key {
        Ok(key) => (key.as_ref().map(IdempotencyKey::as_str), None),
        Err(_) => (None, Some(WRONG_KEY)),
    };
    let condition = if_match.as_ref().ok().copied().flatten();
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
    let key = header_key.or(body_key).or(instead);
    let parsed = match text.updates {
        Some(Lines(updates)) if updates.len() > limits::BATCH_LINES => {
            faults.push(too_many_lines());
            None
        }
        Some(Lines(updates)) if !updates.is_empty() => {
            if condition.is_some() {
                let issue = "goes with one movement; the lines of a batch have versions";
                faults.push(Detail::new("header.If-Match", issue));
            }
            parse_many(&updates, text.atomicity.as_deref(), key, &mut faults)
        }
        Some(_) | None => {
            let seen = match condition {
                Some(Condition::Version(version)) => Some(version),
                Some(Condition::Any) | None => None,
            };
            if text.version.is_some() && seen.is_some() && text.version != seen {
                let issue = "differs from the version of the body";
                faults.push(Detail::new("header.If-Match", issue));
            }
            let line = LineText {
                product_id: text.product_id,
                delta: text.delta,
                version: text.version.or(seen),
                idempotency_key: None,
                reason: text.reason,
                reference: text.reference,
                note: text.note,
            };
            let kind = parse_single(&line, key, faults)?;
            return Ok(UpdateBody { store, kind });
        }
    };
    match parsed {
        Some(kind) if faults.is_empty() => return Ok(UpdateBody { store, kind }),
        Some(UpdateKind::PerItem(lines)) => {
            faults.extend(line_faults(lines));
        }
        _ => {}
    }
    Err(Problem::with_details(code_of(&faults), faults))
}

/// What is wrong with the lines of a `per_item` batch that is refused for something else.
fn line_faults(lines: Vec<LineResult>) -> impl Iterator<Item = Detail> {
    let lines = lines.into_iter().enumerate();
    let faults = lines.filter_map(|(index, line)| Some(line.err()?.within(index)));
    faults.flatten()
}

/// One movement, unless something is wrong with it or with what stands beside it.
fn parse_single(
    line: &LineText<'_>,
    key: Option<&str>,
    faults: Vec<Detail>,
) -> Result<UpdateKind, Problem> {
    match parse_line(line, key, true) {
        Ok((line, Some(key))) if faults.is_empty() => Ok(UpdateKind::Single { line, key }),
        Ok((line, _)) => {
            let problem = Problem::with_details(ProblemCode::InvalidRequest, faults);
            let problem = problem.with("productId", line.product.as_str());
            Err(refused(problem, "invalid_request"))
        }
        Err(fault) => Err(line_problem(fault, faults)),
    }
}

fn parse_many(
    updates: &[Object<LineText<'_>>],
    atomicity: Option<&str>,
    key: Option<&str>,
    faults: &mut Vec<Detail>,
) -> Option<UpdateKind> {
    match atomicity {
        None | Some("per_item") => Some(parse_per_item(updates, true)),
        Some("all") => parse_all(updates, key, faults),
        Some(_) => {
            faults.push(Detail::new("atomicity", "must be \"per_item\" or \"all\""));
            // Nobody knows whether its lines need keys.
            Some(parse_per_item(updates, false))
        }
    }
}

fn line_problem(fault: LineFault, mut faults: Vec<Detail>) -> Problem {
    faults.extend(fault.details);
    let mut problem = Problem::new(fault.code, fault.message);
    problem.details = faults;
    if !fault.product_id.is_empty() {
        problem = problem.with("productId", fault.product_id);
    }
    refused(problem, fault.error_type)
}

/// A refused single movement, with the members that seed-003 clients read. No product was looked at,
/// so there are no figures.
fn refused(problem: Problem, error_type: &str) -> Problem {
    let message = problem.detail.clone();
    problem
        .with("applied", false)
        .with("newQuantity", 0)
        .with("newVersion", 0)
        .with("lastUpdated", "")
        .with("errorType", error_type)
        .with("errorMessage", message)
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

fn parse_per_item(lines: &[Object<LineText<'_>>], needs_keys: bool) -> UpdateKind {
    let parse = |Object(line): &Object<LineText<'_>>| {
        let key = line
            .idempotency_key
            .as_deref()
            .filter(|key| !key.is_empty());
        let (line, key) = parse_line(line, key, needs_keys)?;
        // Where keys are needed, a line without one was refused by parse_line.
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
            Err(fault) => faults.extend(fault.within(index)),
        }
    }
    match key.map(IdempotencyKey::parse) {
        Some(Ok(key)) => return Some(UpdateKind::All { lines: moves, key }),
        Some(Err(error)) => faults.push(Detail::new("idempotencyKey", error.to_string())),
        None => faults.push(Detail::new("idempotencyKey", KEY_MISSING)),
    }
    None
}

#[cfg(test)]
mod tests;
