//! JSON objects in which no member stands twice.
//!
//! Readers differ in which of two equal members they take: what one of them checked would not be what
//! the next one does. So a body that is read as a tree, above all one that is written anew and passed
//! on, is refused if an object anywhere in it names a member twice, known or not.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::{Detail, Problem, ProblemCode};

/// Parses a body that must be a JSON object without a member that stands twice.
///
/// # Errors
/// 400 `bad_request`, which names `body`.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let fault = |issue: String| {
        let mut problem = Problem::new(ProblemCode::BadRequest, "Invalid JSON");
        problem.details.push(Detail::new("body", issue));
        problem
    };
    match serde_json::from_slice(body).map(|Unique(value)| value) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(fault("must be a JSON object".to_owned())),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// A value in which no object names a member twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unique(value))) = items.next_entry::<String, _>()? {
            if members.contains_key(&name) {
                let name: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_refused_wherever_it_is() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[0,{"b":null,"b":null}]}"#,
        ] {
            let problem = object(twice.as_bytes()).expect_err(twice);
            assert_eq!(problem.code, ProblemCode::BadRequest, "{twice}");
            assert_eq!(problem.details[0].field, "body", "{twice}");
            assert!(problem.details[0].issue.contains("duplicate"), "{twice}");
        }
    }

    #[test]
    fn anything_else_is_read_as_the_tree_that_it_is() {
        let text =
            r#"{"a":{"x":1},"b":[{"x":-1},{"x":1.5}],"c":[true,null,"t",18446744073709551615]}"#;
        let tree: Map<String, Value> = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes()).unwrap(), tree);
        for other in ["[1]", "7", "null", "", "{"] {
            let problem = object(other.as_bytes()).expect_err(other);
            assert_eq!(problem.details[0].field, "body", "{other}");
        }
    }
}
