//! How current the copy is, and how we say so.
//!
//! A store answers from its copy whatever its age; what it owes the reader is the truth about that
//! age. `Age` counts from the last moment at which the copy was *proved* to stand at central's head,
//! not from the last time that something arrived. After a restart that moment is not known; the
//! time of the newest event in the copy is a moment at which it certainly was, so the age that is
//! said is never less than the true one.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use shared::clock::{Clock, Timestamp};
use shared::domain::ids::StoreId;
use shared::wire::headers;
use tokio::time::Instant;

use super::follower_core::Phase;

/// When the copy was last known to be current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By central's answer in this process.
    At(Instant),
    /// By the time of an event, from before this process.
    Since(Timestamp),
}

impl Proof {
    /// How long ago that was.
    #[must_use]
    pub fn age(self, clock: &dyn Clock) -> Duration {
        match self {
            Self::At(instant) => instant.elapsed(),
            Self::Since(at) => Duration::from_millis(clock.now().millis_since(at).unsigned_abs()),
        }
    }
}

/// What is said about a read.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// The offset that the answer stands at.
    pub offset: u64,
    /// How well the copy is known to be current.
    pub phase: Phase,
    /// Events behind, when known.
    pub lag: Option<u64>,
    /// Time since the last proof.
    pub age: Option<Duration>,
    /// Whether central answers.
    pub central_reachable: bool,
}

/// What a store writes into `Cache-Status` (RFC 9211), made once.
#[derive(Clone, Debug)]
pub struct CacheStatus {
    hit: HeaderValue,
    stale: HeaderValue,
}

impl CacheStatus {
    /// That of `store`. An id may hold characters that a token may not, so it is quoted.
    #[must_use]
    pub fn of(store: &StoreId) -> Self {
        let quoted = store.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let value = |word: &str| {
            HeaderValue::try_from(format!("\"{quoted}\"; {word}")).expect("ids are visible ASCII")
        };
        Self {
            hit: value("hit"),
            stale: value("fwd=stale"),
        }
    }
}

impl Freshness {
    /// Writes the headers of a read.
    pub fn write(&self, cache_status: &CacheStatus, into: &mut HeaderMap) {
        into.insert(headers::SYNC_OFFSET, self.offset.into());
        if let Some(lag) = self.lag {
            into.insert(headers::SYNC_LAG, lag.into());
        }
        if let Some(age) = self.age {
            into.insert(axum::http::header::AGE, age.as_secs().into());
        }
        let status = match self.phase {
            Phase::Live => &cache_status.hit,
            Phase::Starting | Phase::CatchingUp | Phase::Stale => &cache_status.stale,
        };
        into.insert(headers::CACHE_STATUS, status.clone());
        let central = if self.central_reachable {
            HeaderValue::from_static("reachable")
        } else {
            HeaderValue::from_static("unreachable")
        };
        into.insert(headers::CENTRAL, central);
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::ManualClock;

    use super::*;

    #[test]
    fn a_reader_is_told_how_old_the_answer_is() {
        let store = CacheStatus::of(&StoreId::parse("store-s1").unwrap());
        let mut fresh = Freshness {
            offset: 7,
            phase: Phase::Live,
            lag: Some(0),
            age: Some(Duration::from_millis(2_900)),
            central_reachable: true,
        };
        let written = |fresh: &Freshness| {
            let mut map = HeaderMap::new();
            fresh.write(&store, &mut map);
            let mut lines: Vec<_> = map
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            lines.sort();
            lines.join("\n")
        };
        insta::assert_snapshot!(written(&fresh), @r#"
        age: 2
        cache-status: "store-s1"; hit
        x-central: reachable
        x-sync-lag: 0
        x-sync-offset: 7
        "#);
        fresh.phase = Phase::Stale;
        fresh.lag = None;
        fresh.age = None;
        fresh.central_reachable = false;
        insta::assert_snapshot!(written(&fresh), @r#"
        cache-status: "store-s1"; fwd=stale
        x-central: unreachable
        x-sync-offset: 7
        "#);
    }

    #[test]
    fn after_a_restart_the_age_is_that_of_the_newest_event() {
        let clock = ManualClock::at(Timestamp::from_millis(100_000));
        let proof = Proof::Since(Timestamp::from_millis(40_000));
        assert_eq!(proof.age(&clock), Duration::from_secs(60));
    }
}
