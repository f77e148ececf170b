//! `If-Match` and `If-None-Match`: what a caller has seen, as entity tags.
//!
//! The tag of a product is its version in quotes. A write compares strongly and takes one tag or the
//! star; a read compares weakly, as RFC 9110 wants it, so that a tag which a proxy has weakened still
//! saves the body.

use crate::wire::problem::Detail;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// What `If-Match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Any,
    /// This version.
    Version(u64),
}

/// What `If-Match` says, if it is there; a fault if it is nothing that can hold here.
pub type IfMatch = Result<Option<Condition>, Detail>;

/// What `If-Match` of `headers` says.
///
/// # Errors
/// A fault if it is nothing that can hold here.
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    let wrong = |issue: &str| Detail::new("header.If-Match", issue);
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("must be given once"));
    }
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Some(Condition::Any));
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(version) => Ok(Some(Condition::Version(version))),
        // A list, a weak tag, a bare number: never what our ETag says, so more likely a mistake.
        None => Err(wrong(
            "must be one version in quotes, as ETag gives it, or *",
        )),
    }
}

/// Whether `If-None-Match` of `headers` names `etag`, which may be weak.
#[must_use]
pub fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(',').map(str::trim));
    let etag = etag.to_str().map(opaque);
    tags.any(|tag| tag == "*" || etag.as_ref().is_ok_and(|etag| opaque(tag) == *etag))
}

/// A tag without the mark of a weak one.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The tag of a version.
///
/// # Panics
/// Never: a number in quotes is a valid header.
#[must_use]
pub fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("a number is a valid header")
}
