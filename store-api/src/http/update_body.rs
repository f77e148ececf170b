//! A till's update on its way to central and back.
//!
//! On the way there the store's id is filled in and every idempotency key is made this store's own,
//! so that tills of two shops may use the same keys. On the way back the caller sees its own keys,
//! and what seed 003's stores say besides. Everything else passes untouched: whether a field is
//! valid is for central to say, in one place and in one answer.

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use shared::domain::ids::{IdempotencyKey, StoreId};
use shared::limits;
use shared::wire::problem::{Problem, ProblemCode};
use shared::wire::unique::object;

use super::write_headers::WriteHeaders;

/// What is sent to central, and what is needed to shape its answer.
#[derive(Debug)]
pub struct Outgoing {
    /// The body.
    pub body: Bytes,
    /// What the caller said.
    pub said: Said,
}

/// What the caller said, as far as the answer repeats it.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// One movement.
    One(Line),
    /// Several, in order.
    Many(Vec<Line>),
}

/// One movement as the caller named it.
#[derive(Debug, PartialEq)]
pub struct Line {
    product_id: Value,
    delta: Value,
    key: Value,
}

impl Line {
    fn of(fields: &Map<String, Value>, header_key: Option<&IdempotencyKey>) -> Self {
        let field = |name: &str| fields.get(name).cloned().unwrap_or(Value::Null);
        let key = match field("idempotencyKey") {
            Value::Null => header_key.map_or(Value::Null, |key| key.as_str().into()),
            key => key,
        };
        Self {
            product_id: field("productId"),
            delta: field("delta"),
            key,
        }
    }
}

/// The key of `store` for what its caller calls `key`. Two stores never have the same.
#[must_use]
pub fn own_key(store: &StoreId, key: &str) -> String {
    let plain = format!("{store}:{key}");
    // The first colon ends the store's id, so an id with a colon would be ambiguous.
    if plain.len() <= limits::IDEMPOTENCY_KEY_BYTES && !store.as_str().contains(':') {
        return plain;
    }
    let mut hash = Sha256::new();
    hash.update(store.as_str());
    hash.update([0]);
    hash.update(key);
    // No colon in here, so it is none of the plain ones.
    let digits = hash.finalize();
    digits
        .iter()
        .fold("h~".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Prepares a caller's body for central.
///
/// # Errors
/// 400 if it is not an object, or names a member twice, of which only one could be passed on; 403 if
/// it speaks for another store.
pub(super) fn prepare(
    body: &[u8],
    headers: &WriteHeaders,
    store: &StoreId,
) -> Result<Outgoing, Problem> {
    let mut fields = object(body).map_err(|problem| headers.beside(problem))?;
    speak_for(&mut fields, store)?;
    let said = match fields.get("updates") {
        Some(Value::Array(lines)) => {
            let lines = lines.iter().map(|line| {
                line.as_object()
                    .map_or_else(|| Line::of(&Map::new(), None), |line| Line::of(line, None))
            });
            Said::Many(lines.collect())
        }
        Some(_) | None => Said::One(Line::of(&fields, headers.key())),
    };
    rename_key(&mut fields, store);
    if let Some(Value::Array(lines)) = fields.get_mut("updates") {
        for line in lines.iter_mut().filter_map(Value::as_object_mut) {
            rename_key(line, store);
        }
    }
    Ok(Outgoing {
        body: Value::Object(fields).to_string().into(),
        said,
    })
}

/// Lets a body speak for this store, if it does not do so already. What is no store at all stays:
/// central says what is wrong.
///
/// # Errors
/// 403 if it speaks for another.
pub(super) fn speak_for(fields: &mut Map<String, Value>, store: &StoreId) -> Result<(), Problem> {
    match fields.get("storeId") {
        Some(Value::String(named)) if !named.is_empty() && named != store.as_str() => {
            let sentence = "this is another store's service than the body's storeId names";
            return Err(Problem::new(ProblemCode::Forbidden, sentence));
        }
        None | Some(Value::Null | Value::String(_)) => {
            fields.insert("storeId".to_owned(), store.as_str().into());
        }
        Some(_) => {}
    }
    Ok(())
}

/// A follower's body, as its key allows: one that is bound to a store speaks for that store and for no
/// other, as it would at central, which only sees this store's key.
///
/// # Errors
/// 403 if it speaks for another. 400 if it cannot be read: nobody could tell for whom it speaks.
pub(super) fn bound_to(
    store: &StoreId,
    body: &[u8],
    headers: &WriteHeaders,
) -> Result<Bytes, Problem> {
    let mut fields = object(body).map_err(|problem| headers.beside(problem))?;
    speak_for(&mut fields, store).map_err(|problem| Problem {
        detail: "this key is bound to another store".to_owned(),
        ..problem
    })?;
    Ok(Value::Object(fields).to_string().into())
}

/// Makes a key this store's own. What is not a key stays as it is: central says what is wrong.
pub(super) fn rename_key(fields: &mut Map<String, Value>, store: &StoreId) {
    let Some(Value::String(key)) = fields.get_mut("idempotencyKey") else {
        return;
    };
    if IdempotencyKey::parse(key).is_ok() {
        *key = own_key(store, key);
    }
}

/// A product that must be visible at a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which product.
    pub product_id: String,
    /// The version that its movement made.
    pub version: u64,
}

/// Central's answer with the caller's own words in it, and what it has moved. `None` if it is not
/// what central answers with.
#[must_use]
pub fn shape(body: &[u8], said: &Said, store: &StoreId) -> Option<(Bytes, Vec<Moved>)> {
    let mut answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut moved = Vec::new();
    match said {
        Said::One(line) => {
            answer.get("applied")?.as_bool()?;
            moved.extend(moved_by(&answer));
            repeat(&mut answer, line);
        }
        Said::Many(lines) => {
            answer.insert("storeId".to_owned(), store.as_str().into());
            let results = answer.get_mut("results").and_then(Value::as_array_mut)?;
            if results.len() == lines.len() {
                for (result, line) in results.iter_mut().zip(lines) {
                    let result = result.as_object_mut()?;
                    moved.extend(moved_by(result));
                    repeat(result, line);
                }
            }
            // Lines of one product see each other: the last version is the one to wait for.
            moved.reverse();
            let mut seen = std::collections::HashSet::new();
            moved.retain(|one| seen.insert(one.product_id.clone()));
        }
    }
    Some((Value::Object(answer).to_string().into(), moved))
}

fn repeat(result: &mut Map<String, Value>, line: &Line) {
    if !line.key.is_null() {
        result.insert("idempotencyKey".to_owned(), line.key.clone());
    }
    if !line.delta.is_null() {
        result.insert("delta".to_owned(), line.delta.clone());
    }
}

fn moved_by(result: &Map<String, Value>) -> Option<Moved> {
    let applied = result.get("applied")?.as_bool()?;
    let product_id = result.get("productId")?.as_str()?;
    let version = result.get("newVersion")?.as_u64()?;
    applied.then(|| Moved {
        product_id: product_id.to_owned(),
        version,
    })
}

impl Said {
    /// The product that a refusal is about, for seed-003 clients.
    #[must_use]
    pub const fn product_id(&self) -> Option<&Value> {
        match self {
            Self::One(line) => Some(&line.product_id),
            Self::Many(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn store() -> StoreId {
        StoreId::parse("store-s1").unwrap()
    }

    fn sent(body: &Value) -> Result<(Value, Said), Problem> {
        let headers = WriteHeaders::of(&HeaderMap::new());
        let outgoing = prepare(body.to_string().as_bytes(), &headers, &store())?;
        let body = serde_json::from_slice(&outgoing.body).unwrap();
        Ok((body, outgoing.said))
    }

    #[test]
    fn the_store_speaks_for_itself_and_its_keys_are_its_own() {
        let body = json!({"productId": "P", "delta": -2, "idempotencyKey": "k", "other": 1.5});
        let (sent_body, _) = sent(&body).unwrap();
        let expected = json!({"storeId": "store-s1", "productId": "P", "delta": -2, "idempotencyKey": "store-s1:k", "other": 1.5});
        assert_eq!(sent_body, expected);
        let body = json!({"updates": [{"productId": "P", "idempotencyKey": "a"}, 7, {"idempotencyKey": "no key"}]});
        let (sent_body, _) = sent(&body).unwrap();
        assert_eq!(
            sent_body["updates"],
            json!([{"productId": "P", "idempotencyKey": "store-s1:a"}, 7, {"idempotencyKey": "no key"}])
        );
    }

    #[test]
    fn what_is_no_body_or_another_stores_goes_nowhere_and_the_rest_goes_to_central() {
        for (body, code) in [
            (json!([1]), ProblemCode::BadRequest),
            (json!({"storeId": "other"}), ProblemCode::Forbidden),
        ] {
            assert_eq!(sent(&body).unwrap_err().code, code, "{body}");
        }
        // One of the two would be lost on the way, so that central could not refuse it.
        let none = WriteHeaders::of(&HeaderMap::new());
        for twice in [
            r#"{"productId":"P","delta":-1,"delta":-5,"idempotencyKey":"k"}"#,
            r#"{"updates":[{"productId":"P","delta":-1,"delta":-5,"idempotencyKey":"k"}]}"#,
        ] {
            let codes = [
                prepare(twice.as_bytes(), &none, &store()).unwrap_err().code,
                bound_to(&store(), twice.as_bytes(), &none)
                    .unwrap_err()
                    .code,
            ];
            assert_eq!(codes, [ProblemCode::BadRequest; 2], "{twice}");
        }
        let body = json!({"storeId": 7, "idempotencyKey": 8});
        assert_eq!(sent(&body).unwrap().0, body);
    }

    #[test]
    fn no_two_stores_share_a_key() {
        let id = |text: &str| StoreId::parse(text).unwrap();
        let long = "x".repeat(128);
        let keys = [
            own_key(&id("a"), "b:c"),
            own_key(&id("a:b"), "c"),
            own_key(&id("a"), &long),
            own_key(&id(&long), "a"),
            own_key(&id(&long), &long),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(IdempotencyKey::parse(key).is_ok(), "{key}");
            assert!(!keys[..at].contains(key), "{key}");
        }
    }

    #[test]
    fn the_caller_sees_its_own_words() {
        let body = json!({"productId": "P", "delta": -2, "idempotencyKey": "k"});
        let (_, said) = sent(&body).unwrap();
        let answer = json!({"productId": "P", "newQuantity": 3, "newVersion": 4, "applied": true, "idempotencyKey": "store-s1:k"});
        let (body, moved) = shape(answer.to_string().as_bytes(), &said, &store()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"productId": "P", "newQuantity": 3, "newVersion": 4, "applied": true, "idempotencyKey": "k", "delta": -2})
        );
        assert_eq!(
            moved,
            [Moved {
                product_id: "P".into(),
                version: 4
            }]
        );
    }

    #[test]
    fn a_batch_waits_for_the_last_version_of_each_product() {
        let lines = json!({"updates": [
            {"productId": "P", "delta": -1, "idempotencyKey": "a"},
            {"productId": "Q", "delta": -1, "idempotencyKey": "b"},
            {"productId": "P", "delta": -1, "idempotencyKey": "c"},
        ]});
        let (_, said) = sent(&lines).unwrap();
        let answer = json!({"results": [
            {"productId": "P", "newVersion": 2, "applied": true},
            {"productId": "Q", "newVersion": 5, "applied": false, "errorType": "version_conflict"},
            {"productId": "P", "newVersion": 3, "applied": true},
        ], "storeId": "", "totalCount": 3});
        let (body, moved) = shape(answer.to_string().as_bytes(), &said, &store()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["storeId"], "store-s1");
        assert_eq!(
            body["results"][1],
            json!({"productId": "Q", "newVersion": 5, "applied": false, "errorType": "version_conflict", "delta": -1, "idempotencyKey": "b"})
        );
        assert_eq!(
            moved,
            [Moved {
                product_id: "P".into(),
                version: 3
            }]
        );
    }
}
