//! Answers held against recorded ones.
//!
//! An answer must hold every member of the recorded one, with the same value; more members may be
//! there, because what we add to another system's wire is only ever more. A list has the recorded
//! length. Its content type is the recorded one, `application/json`, but for refusals, which are problems
//! now. `"<time>"` stands for any time with milliseconds, `"<text>"` for any text, `"<number>"` for
//! any whole number.

use serde_json::Value;

use crate::clock::Timestamp;

/// The content type of an answer with `status`.
#[must_use]
pub const fn content_type(status: u16) -> &'static str {
    if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    }
}

/// What `found`, which is called `at`, lacks of `expected` or has with another value.
#[must_use]
pub fn differences(expected: &Value, found: &Value, at: &str) -> Vec<String> {
    let mut differences = Vec::new();
    compare(expected, found, at, &mut differences);
    differences
}

fn compare(expected: &Value, found: &Value, at: &str, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&Value::Null);
                compare(expected, found, &format!("{at}.{name}"), differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(expected, found, &format!("{at}[{index}]"), differences);
            }
        }
        (Value::String(kind), found) if stands_for(kind, found) => {}
        _ if expected == found => {}
        _ => differences.push(format!("{at}: {found} instead of {expected}")),
    }
}

fn stands_for(kind: &str, found: &Value) -> bool {
    match (kind, found) {
        ("<time>", Value::String(time)) => {
            let parsed: Result<Timestamp, _> = time.parse();
            parsed.is_ok_and(|parsed| parsed.to_string() == *time)
        }
        ("<text>", Value::String(_)) => true,
        ("<number>", found) => found.is_i64() || found.is_u64(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_or_different_is_named_and_what_is_more_is_not() {
        let recorded =
            json!({"a": 1, "b": [{"c": "x", "d": "<number>"}], "at": "<time>", "e": "<text>"});
        let answer = json!({"a": 1, "b": [{"c": "x", "d": 7, "f": 0}], "at": "2026-01-15T10:30:00.123Z", "e": "y"});
        assert!(differences(&recorded, &answer, "answer").is_empty());
        for (change, named) in [
            (json!({"a": 2}), "answer.a"),
            (json!({"a": "1"}), "answer.a"),
            (json!({"b": []}), "answer.b"),
            (json!({"b": [{"d": 7}]}), "answer.b[0].c"),
            (json!({"b": [{"c": "x", "d": "7"}]}), "answer.b[0].d"),
            (json!({"at": "2026-01-15T10:30:00Z"}), "answer.at"),
            (json!({"e": null}), "answer.e"),
        ] {
            let mut other = answer.clone();
            let (name, value) = change.as_object().unwrap().iter().next().unwrap();
            other[name] = value.clone();
            let found = differences(&recorded, &other, "answer");
            assert_eq!(found.len(), 1, "{change}");
            assert!(found[0].starts_with(&format!("{named}:")), "{found:?}");
        }
    }
}
