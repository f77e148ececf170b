//! The slow second look at a body that the typed parse refused.
//!
//! That parse stops at the first member of a wrong type; this one reads the body as a tree and names
//! them all. It decides nothing: the body is refused already, and where it finds no fault the words
//! of the first parse stand.
//!
//! What must stay true: one request gets a bounded list, however long its body is.

use serde_json::Value;
use shared::limits;
use shared::wire::problem::{Detail, Problem, ProblemCode};

/// Names everything that the typed parse would stumble over.
pub(super) fn malformed(body: &[u8], error: &serde_json::Error) -> Problem {
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

pub(super) fn too_many_lines() -> Detail {
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
