//! The member `error` that refusals of seed 003's stores have, beside our own.
//!
//! Where that system's store refused a read or a sync, its body was `{"error": {code, message,
//! details}}`; without a key it was `{"error": "Missing API key"}`. Its clients read nothing else. So
//! a handler whose call existed there returns [`Refusal`] in place of a [`Problem`]: whatever it
//! refuses has that member too. Movements of stock had members of their own and are no part of this,
//! nor are calls that did not exist there.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use shared::wire::problem::{Problem, ProblemCode};

/// The name of the member.
const ERROR: &str = "error";

/// A problem that also says itself in seed 003's form.
#[derive(Debug)]
pub struct Refusal(Problem);

impl Refusal {
    /// `problem`, which that system said in these words.
    #[must_use]
    pub fn worded(problem: Problem, code: &str, message: &str, details: &Value) -> Self {
        let error = json!({"code": code, "message": message, "details": details});
        Self(problem.with(ERROR, error))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        // Without a key it was a sentence; see `unauthorized`.
        if problem.extra.contains_key(ERROR) {
            return Self(problem);
        }
        let (code, message) = (problem.code.as_str(), problem.detail.clone());
        Self::worded(problem, code, &message, &json!({}))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The answer to somebody without a known key, with that system's sentence in it.
#[must_use]
pub fn unauthorized(problem: Problem, is_missing: bool) -> Problem {
    if problem.code != ProblemCode::Unauthorized {
        return problem;
    }
    let sentence = if is_missing {
        "Missing API key"
    } else {
        "Invalid API key"
    };
    problem.with(ERROR, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_itself_in_both_forms_and_no_word_is_lost() {
        let of = |problem: Problem| Refusal::from(problem).0.extra[ERROR].clone();
        let plain = Problem::new(ProblemCode::NotSyncedYet, "not yet");
        let said = json!({"code": "not_synced_yet", "message": "not yet", "details": {}});
        assert_eq!(of(plain), said);
        let keyless = || Problem::new(ProblemCode::Unauthorized, "API key required");
        assert_eq!(of(unauthorized(keyless(), true)), "Missing API key");
        assert_eq!(of(unauthorized(keyless(), false)), "Invalid API key");
        let two = Problem::new(ProblemCode::InvalidRequest, "two keys");
        assert!(unauthorized(two, false).extra.is_empty());
    }
}
