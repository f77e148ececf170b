//! What the proxy keeps of answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::{AGE, CACHE_CONTROL, HeaderValue};
use tokio::time::Instant;

use super::head::Answer;

/// Kept answers by what they answer.
#[derive(Debug, Default)]
pub(super) struct Cache {
    newest: Mutex<Option<Answer>>,
    hoarded: Mutex<HashMap<String, Answer>>,
    slots: Mutex<HashMap<String, Slot>>,
}

/// Where an answer is kept; locked while central is asked for it.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// An answer that may be given again for a while.
#[derive(Debug)]
pub(super) struct Kept {
    answer: Answer,
    since: Instant,
    life: Duration,
}

impl Cache {
    pub(super) fn newest(&self) -> Option<Answer> {
        self.newest.lock().clone()
    }

    pub(super) fn note(&self, answer: &Answer) {
        *self.newest.lock() = Some(answer.clone());
    }

    pub(super) fn of(&self, target: &str) -> Option<Answer> {
        self.hoarded.lock().get(target).cloned()
    }

    pub(super) fn keep(&self, target: &str, answer: &Answer) {
        self.hoarded
            .lock()
            .insert(target.to_owned(), answer.clone());
    }

    pub(super) fn slot(&self, key: &str) -> Slot {
        Arc::clone(self.slots.lock().entry(key.to_owned()).or_default())
    }
}

impl Kept {
    /// Keeps `answer` if its headers allow it.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let rule = answer.headers.get(CACHE_CONTROL)?.to_str().ok()?;
        let rules: Vec<_> = rule.split(',').map(str::trim).collect();
        let life = rules.iter().find_map(|rule| rule.strip_prefix("max-age="));
        let may = answer.status == StatusCode::OK || answer.status.is_redirection();
        (may && rules.contains(&"public") && !rules.contains(&"no-store")).then_some(())?;
        Some(Self {
            answer: answer.clone(),
            since: Instant::now(),
            life: Duration::from_secs(life?.parse().ok()?),
        })
    }

    /// The answer with its age, while it may be given.
    pub(super) fn fresh(&self) -> Option<Answer> {
        let age = self.since.elapsed();
        (age < self.life).then(|| {
            let mut answer = self.answer.clone();
            answer.headers.insert(AGE, HeaderValue::from(age.as_secs()));
            answer
        })
    }
}
