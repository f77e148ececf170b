//! What central says of itself, as far as a store says it on: the currency of the prices, and for
//! how long things are kept.
//!
//! Asked of `GET /v1/info` once central is heard, and again whenever its log begins another life,
//! because a restart may have brought other settings. A relay says what it was told, so all stores of
//! a chain say the same. What was not said yet is absent and never guessed: a till that holds a key
//! for longer than central does is a till that sells twice.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// For how long central keeps what it is asked for again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Hours for which an idempotency key is remembered.
    pub idempotency_hours: u32,
    /// Keys that are remembered; of more, the oldest are forgotten before their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub idempotency_keys: Option<u64>,
    /// Hours for which events are kept; 0 is for ever.
    pub event_hours: u32,
}

/// What central says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Three capital letters.
    pub currency: Option<String>,
    /// For how long it keeps what.
    pub retention: Option<Retention>,
}

#[derive(Deserialize)]
struct InfoText {
    service: String,
    currency: Option<String>,
    retention: Option<Retention>,
}

impl Facts {
    /// Reads the body of `GET /v1/info`; `None` if it is not what central, or a relay, answers with.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text: InfoText = serde_json::from_slice(body).ok()?;
        matches!(&*text.service, "central-api" | "store-api").then_some(())?;
        Some(Self {
            currency: text.currency.filter(|currency| is_currency(currency)),
            retention: text.retention,
        })
    }
}

/// Whether this is how a currency is written.
#[must_use]
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// What is known of central, shared by whoever asks and whoever tells.
#[derive(Debug, Default)]
pub struct FactsNote(Mutex<Facts>);

impl FactsNote {
    /// Central said this.
    pub fn learned(&self, facts: Facts) {
        *self.0.lock() = facts;
    }

    /// What is known.
    #[must_use]
    pub fn get(&self) -> Facts {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_central_says_nothing_and_what_is_odd_is_not_repeated() {
        let said = |currency: &str| {
            let text = format!(
                r#"{{"service":"central-api","currency":{currency},"retention":{{"idempotencyHours":168,"idempotencyKeys":7,"eventHours":0}},"more":1}}"#
            );
            Facts::parse(text.as_bytes())
        };
        let facts = said("\"EUR\"").unwrap();
        assert_eq!(facts.currency.as_deref(), Some("EUR"));
        let retention = facts.retention.unwrap();
        assert_eq!(
            (retention.idempotency_hours, retention.idempotency_keys),
            (168, Some(7))
        );
        assert_eq!(said("\"<b>\"").unwrap().currency, None);
        assert_eq!(said("7"), None);
        for page in [
            "<html>",
            "{}",
            r#"{"service":"login"}"#,
            r#"{"service":"central-api","retention":{"eventHours":-1}}"#,
        ] {
            assert_eq!(Facts::parse(page.as_bytes()), None, "{page}");
        }
        let early = Facts::parse(br#"{"service":"store-api","currency":"USD"}"#).unwrap();
        assert_eq!(early.retention, None);
    }
}
