//! A provider behind its breaker, with a limit to each call's time.
//!
//! The breaker is asked first: while it is open a call ends at once as [`NotSent::BreakerOpen`] and
//! nothing is sent. The timeout ends what takes too long as [`Doubt::TimedOut`]: the call may arrive
//! yet, and only asking again under the same key tells. What must stay true: a refusal to move money
//! never counts against the provider, and a caller that gives up leaves no probe behind. A key of ours
//! that is not accepted does count where a charge is asked for: until somebody mends it no order can
//! be paid, so none should hold units for that.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::policy::{Breaker, Outcome};
use shared::service::guard::Guard;

use super::outcome::Ending;
use super::{
    ChargeOutcome, ChargeRequest, Doubt, NotSent, PaymentProvider, RefundOutcome, RefundRequest,
    VoidOutcome,
};

/// A [`PaymentProvider`] whose calls are guarded.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn PaymentProvider>,
    guard: Guard,
    timeout: Duration,
}

impl Guarded {
    /// What people call the breaker.
    pub const NAME: &'static str = "payments";

    /// Puts `breaker` around `inner`, whose calls end after `timeout`.
    #[must_use]
    pub fn new(inner: Arc<dyn PaymentProvider>, breaker: Breaker, timeout: Duration) -> Self {
        Self {
            inner,
            guard: Guard::new(breaker),
            timeout,
        }
    }

    /// The breaker: how it stands, whether it would allow a call, and its reset.
    #[must_use]
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    async fn within_limits<E: Ending, F>(&self, call: impl FnOnce() -> F) -> E
    where
        F: Future<Output = E>,
    {
        let permit = match self.guard.acquire() {
            Ok(permit) => permit,
            Err(retry_after) => return E::not_sent(NotSent::BreakerOpen { retry_after }),
        };
        match tokio::time::timeout(self.timeout, call()).await {
            Ok(ending) => {
                permit.record(ending.signal());
                ending
            }
            Err(_) => {
                permit.record(Outcome::Timeout);
                E::unknown(Doubt::TimedOut)
            }
        }
    }
}

impl PaymentProvider for Guarded {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(self.within_limits(|| self.inner.charge(request)))
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(self.within_limits(|| self.inner.void(request)))
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(self.within_limits(|| self.inner.refund(request)))
    }
}

#[cfg(test)]
mod tests;
