//! Calls to central behind timeout, breaker and keyed retry.
//!
//! ```text
//! caller's deadline ┬ breaker ─ attempt (timeout) ─ wait (full jitter) ┐
//!                   └──────────────── again, while keyed ◀─────────────┘
//! ```
//!
//! What must stay true: a call is sent again only if sending it twice is harmless; nothing is sent
//! while the breaker is open; once an attempt may have had an effect, no later failure can turn the
//! answer into "nothing happened". The feed does not come through here: it has its own pace, and a
//! long poll that ends without an event says nothing about writes.

mod outage;

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prometheus::IntCounter;
use shared::clock::Clock;
use shared::policy::{Backoff, Breaker, Outcome};
use shared::service::guard::Guard;
use shared::service::metrics::counter_of;
use shared::wire::problem::ProblemCode;
use tokio::time::Instant;

use self::outage::{Outage, Turn};
use super::answer::problem_code;
use super::contact::ContactNote;
use super::{Call, CallFault, Central, FeedReply, Reply, SnapshotStream, Streamed, SyncFault};
use crate::replica::answer::Poll;

/// The numbers of a [`Guarded`].
#[derive(Clone, Copy, Debug)]
pub struct GuardSettings {
    /// Time for one attempt.
    pub attempt: Duration,
    /// Most attempts of one call.
    pub attempts: u32,
    /// Waits between them.
    pub backoff: Backoff,
}

/// A [`Central`] whose calls are guarded.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn Central>,
    settings: GuardSettings,
    guard: Guard,
    outage: Mutex<Outage>,
    retries: IntCounter,
    contact: Arc<ContactNote>,
    clock: Arc<dyn Clock>,
}

/// What came of one attempt.
enum Attempt {
    /// An answer for the caller.
    Answered(Reply),
    /// Central said that nothing happened and that it is to be asked again.
    Busy(Reply),
    /// Nothing happened.
    NotSent,
    /// Nobody knows.
    Doubt { timed_out: bool },
    /// Central does not accept our key.
    KeyRefused,
}

impl Guarded {
    /// Puts guards around the calls to `inner`.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Central>,
        breaker: Breaker,
        settings: GuardSettings,
        contact: Arc<ContactNote>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            inner,
            settings,
            guard: Guard::new(breaker),
            outage: Mutex::default(),
            retries: counter_of(
                "holdfast_retries_total",
                "Calls that were made again because the one before told nothing, by who was called.",
                ("target", "central"),
            ),
            contact,
            clock,
        }
    }

    /// The same central without guards, for what nobody waits for.
    #[must_use]
    pub fn unguarded(&self) -> &dyn Central {
        &*self.inner
    }

    /// The breaker.
    #[must_use]
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Attempts that were not the first of their call.
    #[must_use]
    pub const fn retries(&self) -> &IntCounter {
        &self.retries
    }

    /// Logs an outage when it begins and when it is over. What is refused in between is counted, not
    /// logged: a line for every sale at every till says no more.
    fn tell(&self) {
        // Held while the state is read, so that an older state is never noted after a newer one.
        let mut outage = self.outage.lock();
        match outage.turn(self.guard.state(), Instant::now()) {
            None => {}
            Some(Turn::Begun) => tracing::warn!(
                "the breaker is open: central has not been answering, and calls are refused at once"
            ),
            Some(Turn::Over { lasted, refused }) => tracing::info!(
                lasted_s = lasted.as_secs(),
                refused,
                "the breaker is closed: central answers again"
            ),
        }
    }

    async fn attempt(&self, call: &Call, within: Duration) -> (Attempt, Outcome) {
        match self.inner.call(call, within).await {
            Ok(reply) => classify(call, reply),
            Err(fault) => unanswered(&fault),
        }
    }

    fn note(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.contact.answered(self.clock.now()),
            Outcome::Failure => self.contact.failed("a call failed"),
            Outcome::Timeout => self.contact.failed("a call timed out"),
            Outcome::Ignored => {}
        }
    }

    async fn guarded_call(&self, call: &Call, within: Duration) -> Result<Reply, CallFault> {
        let deadline = Instant::now() + within;
        let mut doubt: Option<CallFault> = None;
        let mut busy: Option<Reply> = None;
        for retry in 0..self.settings.attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            if retry > 0 && left.is_zero() {
                break;
            }
            let permit = match self.guard.acquire() {
                Ok(permit) => permit,
                Err(_) if doubt.is_some() || busy.is_some() => break,
                Err(retry_after) => {
                    self.outage.lock().refused += 1;
                    return Err(CallFault::Open { retry_after });
                }
            };
            if retry > 0 {
                self.retries.inc();
            }
            let (attempt, outcome) = self
                .attempt(
                    call,
                    left.min(call.attempt.unwrap_or(self.settings.attempt)),
                )
                .await;
            permit.record(outcome);
            self.tell();
            self.note(outcome);
            let retry_after = match attempt {
                // Decided before anybody looked whether the key was used: says nothing of an attempt
                // that is in doubt.
                Attempt::Answered(reply) if reply.status == StatusCode::TOO_MANY_REQUESTS => {
                    return doubt.map_or(Ok(reply), Err);
                }
                Attempt::Answered(reply) => return Ok(reply),
                Attempt::KeyRefused => return Err(doubt.unwrap_or(CallFault::KeyRefused)),
                Attempt::NotSent => None,
                Attempt::Doubt { timed_out } => {
                    doubt = Some(CallFault::Unknown { timed_out });
                    None
                }
                Attempt::Busy(reply) => {
                    let wish = seconds(&reply);
                    busy = Some(reply);
                    wish
                }
            };
            if !call.is_repeatable {
                break;
            }
            let wait = self
                .settings
                .backoff
                .delay(retry, rand::random(), retry_after);
            if Instant::now() + wait >= deadline {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        match (doubt, busy) {
            (Some(doubt), _) => Err(doubt),
            (None, Some(reply)) => Ok(reply),
            (None, None) => Err(CallFault::NotSent),
        }
    }
}

impl Guarded {
    /// Opens a stream behind the breaker. It is judged by how it begins, and never asked for again: the
    /// one who reads it comes back by itself.
    async fn guarded_stream(
        &self,
        call: &Call,
        last: Option<HeaderValue>,
        within: Duration,
    ) -> Result<Streamed, CallFault> {
        let permit = self.guard.acquire().map_err(|retry_after| {
            self.outage.lock().refused += 1;
            CallFault::Open { retry_after }
        })?;
        let (found, outcome) = match self.inner.stream(call, last, within).await {
            Ok(going @ Streamed::Going { .. }) => (Ok(going), Outcome::Success),
            Ok(Streamed::Answered(reply)) => {
                let (attempt, outcome) = classify(call, reply);
                let answered = match attempt {
                    Attempt::Answered(reply) | Attempt::Busy(reply) => Ok(reply),
                    Attempt::NotSent => Err(CallFault::NotSent),
                    Attempt::Doubt { timed_out } => Err(CallFault::Unknown { timed_out }),
                    Attempt::KeyRefused => Err(CallFault::KeyRefused),
                };
                (answered.map(Streamed::Answered), outcome)
            }
            Err(fault) => {
                let (_, outcome) = unanswered(&fault);
                (Err(fault), outcome)
            }
        };
        permit.record(outcome);
        self.tell();
        self.note(outcome);
        found
    }
}

/// What no answer means for the call and for the breaker.
const fn unanswered(fault: &CallFault) -> (Attempt, Outcome) {
    match fault {
        CallFault::NotSent | CallFault::Open { .. } => (Attempt::NotSent, Outcome::Failure),
        CallFault::KeyRefused => (Attempt::KeyRefused, Outcome::Success),
        CallFault::Unknown { timed_out: true } => {
            (Attempt::Doubt { timed_out: true }, Outcome::Timeout)
        }
        CallFault::Unknown { timed_out: false } => {
            (Attempt::Doubt { timed_out: false }, Outcome::Failure)
        }
    }
}

/// What an answer means for the call and for the breaker.
fn classify(call: &Call, reply: Reply) -> (Attempt, Outcome) {
    let status = reply.status;
    let refuses_key = status == StatusCode::UNAUTHORIZED
        || status == StatusCode::FORBIDDEN && !call.may_be_forbidden;
    if refuses_key {
        return (Attempt::KeyRefused, Outcome::Success);
    }
    if !status.is_server_error() {
        return (Attempt::Answered(reply), Outcome::Success);
    }
    let code = problem_code(&reply.body);
    // Central is well and says of another that it is not. It would say so again, and shops must not
    // stop to sell for cash because cards cannot be charged.
    if code.as_deref() == Some(ProblemCode::PaymentUnavailable.as_str()) {
        return (Attempt::Answered(reply), Outcome::Success);
    }
    // Only central itself can promise that nothing happened. Something on the way that answers 503
    // may have sent the request on before.
    let promised = status == StatusCode::SERVICE_UNAVAILABLE
        && code.is_some_and(|code| {
            let codes = ProblemCode::ALL.iter();
            codes
                .filter(|known| known.has_no_side_effects())
                .any(|known| known.as_str() == code)
        });
    let attempt = if promised {
        Attempt::Busy(reply)
    } else {
        let timed_out = status == StatusCode::GATEWAY_TIMEOUT;
        Attempt::Doubt { timed_out }
    };
    (attempt, Outcome::Failure)
}

fn seconds(reply: &Reply) -> Option<Duration> {
    let value = reply.headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

impl Central for Guarded {
    fn poll<'a>(&'a self, poll: &'a Poll) -> BoxFuture<'a, FeedReply> {
        self.inner.poll(poll)
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotStream, SyncFault>> {
        self.inner.snapshot()
    }

    fn call<'a>(
        &'a self,
        call: &'a Call,
        within: Duration,
    ) -> BoxFuture<'a, Result<Reply, CallFault>> {
        Box::pin(self.guarded_call(call, within))
    }

    fn stream<'a>(
        &'a self,
        call: &'a Call,
        last: Option<HeaderValue>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Streamed, CallFault>> {
        Box::pin(self.guarded_stream(call, last, within))
    }
}

#[cfg(test)]
mod tests;
