//! The layer around the routes: counts, refuses, and says in every answer where the caller stands.
//!
//! It stands inside the layer of ids and log, whose connection's address it reads and which writes the
//! body of its refusals, and inside CORS, so that a page of another origin can read one. The headers are
//! those of the IETF's draft (`RateLimit-Policy`, `RateLimit`) and of seed 003 (`X-RateLimit-*`, whose
//! reset is a time of day in seconds). What does not change from answer to answer is made once.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, MonotonicClock};
use http::{HeaderMap, HeaderValue};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::limit::WINDOW;
use super::{Counted, Policy, RateLimits, seconds};
use crate::clock::Clock as _;
use crate::service::auth::Authenticate;
use crate::service::request_context::ToldAlready;
use crate::service::system_clock::SystemClock;
use crate::wire::headers::{
    RATE_LIMIT, RATE_LIMIT_POLICY, X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING, X_RATE_LIMIT_RESET,
};
use crate::wire::problem::{Problem, ProblemCode};

/// The headers of a policy that are the same in every answer.
#[derive(Debug)]
pub(super) struct Fixed {
    policy: HeaderValue,
    limit: HeaderValue,
}

impl Fixed {
    pub(super) fn of(policy: Policy, per_minute: NonZeroU32) -> Self {
        let (name, window) = (policy.as_str(), WINDOW.as_secs());
        let text = format!("\"{name}\";q={per_minute};w={window}");
        Self {
            policy: HeaderValue::try_from(text).expect("a word and two numbers"),
            limit: HeaderValue::from(per_minute.get()),
        }
    }
}

/// Puts [`RateLimitService`] around routes.
#[derive(Clone, Debug)]
pub struct RateLimitLayer<A, C: Clock = MonotonicClock> {
    limits: Arc<RateLimits<C>>,
    auth: A,
}

impl<A, C: Clock> RateLimitLayer<A, C> {
    /// A layer that counts in `limits` who `auth` says is asking.
    #[must_use]
    pub const fn new(limits: Arc<RateLimits<C>>, auth: A) -> Self {
        Self { limits, auth }
    }
}

impl<S, A: Clone, C: Clock> Layer<S> for RateLimitLayer<A, C> {
    type Service = RateLimitService<S, A, C>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService {
            inner,
            limits: Arc::clone(&self.limits),
            auth: self.auth.clone(),
        }
    }
}

/// See [the module](super).
#[derive(Clone, Debug)]
pub struct RateLimitService<S, A, C: Clock = MonotonicClock> {
    inner: S,
    limits: Arc<RateLimits<C>>,
    auth: A,
}

impl<S, A, C: Clock> Service<Request> for RateLimitService<S, A, C>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    A: Authenticate,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RateLimitFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let counted = self.limits.count(&mut request, &self.auth);
        let is_refused = counted.is_some_and(|counted| counted.verdict.is_refused);
        RateLimitFuture {
            inner: (!is_refused).then(|| self.inner.call(request)),
            counted: counted.map(|counted| (counted, Arc::clone(&self.limits))),
        }
    }
}

pin_project! {
    /// The answer of a [`RateLimitService`].
    pub struct RateLimitFuture<F, C: Clock> {
        // None if the request is refused.
        #[pin]
        inner: Option<F>,
        counted: Option<(Counted, Arc<RateLimits<C>>)>,
    }
}

impl<F, C: Clock> fmt::Debug for RateLimitFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}

impl<F, C> Future for RateLimitFuture<F, C>
where
    F: Future<Output = Result<Response, Infallible>>,
    C: Clock,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.inner.as_pin_mut() {
            Some(inner) => Some(ready!(inner.poll(cx))?),
            None => None,
        };
        let Some((counted, limits)) = this.counted else {
            return Poll::Ready(Ok(answer.unwrap_or_default()));
        };
        let mut answer = answer.unwrap_or_else(|| refusal(*counted));
        let fixed = &limits.limited(counted.policy).headers;
        counted.say(fixed, answer.headers_mut());
        Poll::Ready(Ok(answer))
    }
}

/// The answer to a request that is one too many.
fn refusal(counted: Counted) -> Response {
    let wait = seconds(counted.verdict.reset).max(1);
    let sentence = match counted.policy {
        Policy::UnknownKey => "too many requests with a wrong API key came from this address",
        Policy::Anonymous => "too many requests without an API key came from this address",
        Policy::Read | Policy::Write | Policy::Admin | Policy::JournalDrain => {
            "too many requests in a minute"
        }
    };
    let sentence = format!("{sentence}; try again in {wait} s");
    let problem = Problem::new(ProblemCode::RateLimited, sentence);
    let wait = u32::try_from(wait).unwrap_or(u32::MAX);
    let mut answer = problem.retry_after(wait).into_response();
    // A line for each would fill the log for whoever sends too much.
    answer.extensions_mut().insert(ToldAlready);
    answer
}

impl Counted {
    fn say(self, fixed: &Fixed, headers: &mut HeaderMap) {
        let (name, remaining) = (self.policy.as_str(), self.verdict.remaining);
        let reset = seconds(self.verdict.reset);
        let now = SystemClock.now().as_millis().unsigned_abs().div_ceil(1_000);
        let text = format!("\"{name}\";r={remaining};t={reset}");
        headers.insert(RATE_LIMIT_POLICY, fixed.policy.clone());
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(RATE_LIMIT, value);
        }
        headers.insert(X_RATE_LIMIT_LIMIT, fixed.limit.clone());
        headers.insert(X_RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
        headers.insert(X_RATE_LIMIT_RESET, HeaderValue::from(now + reset));
    }
}
