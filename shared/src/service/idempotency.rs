//! The `Idempotency-Key` header: under which name a call has its effect.
//!
//! What is wrong with the header is a fault like those of the body, and is told together with them.
//! So it is read without refusing anything; whoever reads the body adds the fault to its own.

use http::HeaderMap;

use crate::domain::ids::IdempotencyKey;
use crate::wire::headers::IDEMPOTENCY_KEY;
use crate::wire::problem::Detail;

/// What the header says, if it is there; a fault if it is not one key.
pub type KeyHeader = Result<Option<IdempotencyKey>, Detail>;

/// The key in the `Idempotency-Key` header, bare or quoted.
///
/// # Errors
/// A fault if it is not one key.
pub fn header_key(headers: &HeaderMap) -> KeyHeader {
    let wrong = |issue: String| Detail::new("header.Idempotency-Key", issue);
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("must be given once".to_owned()));
    }
    let text = value.to_str().unwrap_or_default();
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    let key = IdempotencyKey::parse(bare).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(key))
}
