//! The slow second look at a body that the typed parse refused.
//!
//! That parse stops at the first member of a wrong type; this one reads the body as a tree and names
//! them all, and with them the rules that the rest of the body breaks, by the checks that a body of
//! right types goes through. It decides nothing: the body is refused already, and where it finds no
//! wrong type the words of the first parse stand.
//!
//! What must stay true: one request gets a bounded list, however long its body is; a member is named
//! for its type or for a rule, never for both.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::service::precondition::IfMatch;
use shared::wire::object::Object;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::unique::object;

use super::lines::Lines;
use super::{BodyText, LineText, UpdateBody, UpdateKind, beside, check, fields, line_faults};

/// Names everything that the typed parse would stumble over, and everything else that is wrong.
pub(super) fn malformed(
    body: &[u8],
    error: &serde_json::Error,
    key: &KeyHeader,
    if_match: &IfMatch,
) -> Problem {
    let members = match object(body) {
        Ok(members) => members,
        // A body in which a member stands twice has no one meaning that could be checked.
        Err(problem) => return fields::beside(problem, beside(key, if_match)),
    };
    let mut faults = type_faults(&members);
    if faults.is_empty() {
        faults.push(Detail::new("body", error.to_string()));
    }
    let named: HashSet<String> = faults.iter().map(|fault| fault.field.clone()).collect();
    let rest = match check(body_text(&members), key, if_match) {
        Err(problem) => problem.details,
        Ok(UpdateBody {
            kind: UpdateKind::PerItem(lines),
            ..
        }) => line_faults(lines).collect(),
        Ok(_) => Vec::new(),
    };
    let rest = rest.into_iter();
    faults.extend(rest.filter(|fault| !is_named(&named, &fault.field)));
    let mut problem = Problem::new(ProblemCode::BadRequest, "Invalid JSON");
    problem.details = faults;
    problem
}

/// Whether `field`, or what it stands in, is among `named`.
fn is_named(named: &HashSet<String>, field: &str) -> bool {
    let ends = field.match_indices(['.', '[']).map(|(end, _)| end);
    let mut paths = ends.filter_map(|end| field.get(..end));
    named.contains(field) || paths.any(|path| named.contains(path))
}

/// What the body says where its types are right. What is wrong is said as nothing, or as something
/// that is refused under the same name.
fn body_text(members: &Map<String, Value>) -> BodyText<'_> {
    let line = line_text(members);
    let atomicity = match members.get("atomicity") {
        None | Some(Value::Null) => None,
        Some(value) => Some(Cow::Borrowed(value.as_str().unwrap_or_default())),
    };
    let updates = match members.get("updates") {
        None | Some(Value::Null) => None,
        Some(Value::Array(lines)) => {
            // One more than there may be is enough to refuse them all.
            let lines = lines.iter().take(limits::BATCH_LINES + 1);
            let lines = lines.map(|line| line.as_object().map(line_text).unwrap_or_default());
            Some(lines.map(Object).collect())
        }
        Some(_) => Some(vec![Object(LineText::default())]),
    };
    BodyText {
        store_id: text(members, "storeId"),
        atomicity,
        updates: updates.map(Lines),
        product_id: line.product_id,
        delta: line.delta,
        version: line.version,
        idempotency_key: line.idempotency_key,
        reason: line.reason,
        reference: line.reference,
        note: line.note,
    }
}

fn line_text(members: &Map<String, Value>) -> LineText<'_> {
    LineText {
        product_id: text(members, "productId"),
        delta: members.get("delta").and_then(Value::as_i64),
        version: members.get("version").and_then(Value::as_u64),
        idempotency_key: text(members, "idempotencyKey"),
        reason: text(members, "reason"),
        reference: text(members, "reference"),
        note: text(members, "note"),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<Cow<'a, str>> {
    members.get(name)?.as_str().map(Cow::Borrowed)
}

pub(super) fn too_many_lines() -> Detail {
    let issue = format!("must hold at most {} lines", limits::BATCH_LINES);
    Detail::new("updates", issue)
}

/// Every member whose JSON type is not what it must be.
fn type_faults(members: &Map<String, Value>) -> Vec<Detail> {
    let mut faults = Vec::new();
    check_text(members, "", "storeId", &mut faults);
    check_text(members, "", "atomicity", &mut faults);
    check_line(members, "", &mut faults);
    match members.get("updates") {
        None | Some(Value::Null) => {}
        Some(Value::Array(lines)) => check_lines(lines, &mut faults),
        Some(_) => faults.push(Detail::new("updates", "must be an array")),
    }
    faults
}

fn check_lines(lines: &[Value], faults: &mut Vec<Detail>) {
    // What one request can ask for bounds what one answer can list.
    for (index, line) in lines.iter().take(limits::BATCH_LINES).enumerate() {
        let at = format!("updates[{index}]");
        match line {
            Value::Object(members) => check_line(members, &format!("{at}."), faults),
            _ => faults.push(Detail::new(at, "must be an object")),
        }
    }
}

fn check_line(members: &Map<String, Value>, prefix: &str, faults: &mut Vec<Detail>) {
    for name in ["productId", "idempotencyKey", "reason", "reference", "note"] {
        check_text(members, prefix, name, faults);
    }
    let whole = "must be an integer without fraction or exponent";
    if let Some(value) = members
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
    if let Some(value) = members
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

fn check_text(members: &Map<String, Value>, prefix: &str, name: &str, faults: &mut Vec<Detail>) {
    if members
        .get(name)
        .is_some_and(|value| !value.is_null() && !value.is_string())
    {
        faults.push(Detail::new(format!("{prefix}{name}"), "must be a string"));
    }
}
