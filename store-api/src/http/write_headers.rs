//! The headers of a write on their way to central.
//!
//! Whether they are right is for central to say, together with what is wrong with the body: what is
//! no key and no condition goes on as it came. A key that is one becomes this store's own first, as
//! the keys in bodies do.
//!
//! The entity tags of a store are weak, because stores of different versions may write one state
//! with other bytes, and `If-Match` compares strongly. But what stands in a tag is the version of
//! what was read, and a version is one state exactly, at every store and at central. So a weak tag
//! goes on as the strong one of the same version: whoever sends back what a read here has given
//! means that state, and nothing else can match it.

use axum::http::header::{HeaderName, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use shared::domain::ids::{IdempotencyKey, StoreId};
use shared::service::idempotency::{KeyHeader, header_key};
use shared::service::precondition;
use shared::wire::headers::IDEMPOTENCY_KEY;
use shared::wire::problem::{Detail, Problem};

use super::update_body::own_key;

/// What the headers of a write say.
#[derive(Debug)]
pub(super) struct WriteHeaders {
    key: KeyHeader,
    /// The key as it came.
    sent_key: Option<HeaderValue>,
    /// The condition for central.
    pub(super) if_match: Option<HeaderValue>,
}

impl WriteHeaders {
    /// What `headers` say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            key: header_key(headers),
            sent_key: as_one(headers, IDEMPOTENCY_KEY),
            if_match: as_one(headers, IF_MATCH).map(strong),
        }
    }

    /// The caller's key, if it is one.
    pub(super) fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref().ok().and_then(Option::as_ref)
    }

    /// The key as it came, for whoever has made it its own already.
    pub(super) fn sent_key(&self) -> Option<HeaderValue> {
        self.sent_key.clone()
    }

    /// The key for central: this store's own, or what is none as it came.
    pub(super) fn own_key(&self, store: &StoreId) -> Option<HeaderValue> {
        let own = self.key().map(|key| own_key(store, key.as_str()));
        match own.map(HeaderValue::try_from) {
            Some(Ok(own)) => Some(own),
            Some(Err(_)) | None => self.sent_key(),
        }
    }

    /// Adds what is wrong here to what is wrong with a body that cannot be passed on.
    pub(super) fn beside(&self, mut problem: Problem) -> Problem {
        problem.details.extend(self.key.as_ref().err().cloned());
        problem.details.extend(self.condition_fault());
        problem
    }

    fn condition_fault(&self) -> Option<Detail> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, self.if_match.clone()?);
        precondition::if_match(&headers).err()
    }
}

/// The lines of a header as the one line that means the same (RFC 9110, 5.3).
fn as_one(headers: &HeaderMap, name: impl Into<HeaderName>) -> Option<HeaderValue> {
    let mut lines = headers.get_all(name.into()).iter();
    let first = lines.next()?;
    let mut all = first.as_bytes().to_vec();
    for line in lines {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line.as_bytes());
    }
    Some(HeaderValue::try_from(all).unwrap_or_else(|_| first.clone()))
}

/// A weak tag as the strong one of the same version; anything else as it is.
fn strong(tag: HeaderValue) -> HeaderValue {
    let text = tag.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix("W/").map(HeaderValue::try_from);
    match bare {
        Some(Ok(bare)) => bare,
        Some(Err(_)) | None => tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        headers
    }

    fn condition(lines: &[&str]) -> Option<String> {
        let lines: Vec<_> = lines.iter().map(|line| ("if-match", *line)).collect();
        let condition = WriteHeaders::of(&headers(&lines)).if_match;
        condition.map(|condition| condition.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_a_read_here_gave_is_a_condition_there() {
        for (said, passed_on) in [
            ("W/\"7\"", "\"7\""),
            ("\"7\"", "\"7\""),
            ("*", "*"),
            // Whatever else it is, it stays something that central refuses.
            ("7", "7"),
            ("W/7", "7"),
            ("w/\"7\"", "w/\"7\""),
            ("W/\"7\", W/\"8\"", "\"7\", W/\"8\""),
        ] {
            assert_eq!(condition(&[said]).as_deref(), Some(passed_on), "{said}");
        }
        assert_eq!(
            condition(&["\"7\"", "\"8\""]).as_deref(),
            Some("\"7\", \"8\"")
        );
        assert_eq!(condition(&[]), None);
    }

    #[test]
    fn a_key_becomes_the_stores_own_and_what_is_none_stays_none() {
        let store = StoreId::parse("store-s1").unwrap();
        for (lines, passed_on) in [
            (vec!["k"], Some("store-s1:k")),
            (vec!["\"k\""], Some("store-s1:k")),
            (vec!["two words"], Some("two words")),
            (vec![""], Some("")),
            (vec!["a", "b"], Some("a, b")),
            (vec![], None),
        ] {
            let all: Vec<_> = lines
                .iter()
                .map(|line| ("idempotency-key", *line))
                .collect();
            let key = WriteHeaders::of(&headers(&all)).own_key(&store);
            let key = key.as_ref().map(|key| key.to_str().unwrap());
            assert_eq!(key, passed_on, "{lines:?}");
            // What goes on is a key there exactly if it was one here.
            let there = headers(&[("idempotency-key", key.unwrap_or_default())]);
            let is_key = matches!(header_key(&there), Ok(Some(_)));
            assert_eq!(is_key, passed_on == Some("store-s1:k"), "{lines:?}");
        }
    }
}
