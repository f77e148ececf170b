//! The one layer around every route: ids, access log, panics, problems.
//!
//! Outermost on purpose: whatever answers (a handler, a rejection, the fallback, a panic), the
//! answer carries its ids, and an error is a problem with path and request id. One layer rather
//! than five, because each layer of axum costs two allocations a request.
//!
//! Ids: `X-Request-ID` and `X-Correlation-ID` are taken over when they are valid and replaced when
//! not; a request that brings no correlation id is its own piece of work. A made id is a random
//! prefix of this process and a counter: unique without drawing randomness per request, short, and
//! it sorts by age. W3C `traceparent` is passed on when well-formed; where spans are sent
//! ([`traces`](super::traces)), what is passed on names this request's own span. It is never invented
//! for nobody, since an id without a trace behind it only misleads.
//!
//! What must stay true: an id that reaches a log or a header is visible ASCII of bounded length;
//! nothing is formatted for a log line that is not written; a path, and so an id in it, is never a
//! log field or a label, only the route's template is.
//!
//! Apply it last, `Router::layer(RequestContextLayer::default())`, so that fallbacks are inside.
//!
//! Longer than most files for the same reason: what one layer does stands in one place.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::problem_response;
use super::traces::Span;
use crate::domain::ids::{CorrelationId, RequestId, check_id};
use crate::limits;
use crate::wire::headers::{CORRELATION_ID, REQUEST_ID, TRACEPARENT};
use crate::wire::problem::{Problem, ProblemCode};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// What a log or a metric calls a request that met no route.
const NO_ROUTE: &str = "-";

/// Under which names one request runs; a request extension and an extractor.
///
/// Holds the header values, which cost a reference count, and makes the domain's ids on demand:
/// only what is recorded needs those.
#[derive(Clone, Debug)]
pub struct RequestContext {
    request: HeaderValue,
    correlation: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    peer: Option<SocketAddr>,
}

/// The address at the other end of the connection; put into the request by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl RequestContext {
    /// The names in `headers`, or new ones.
    #[must_use]
    pub fn of(headers: &HeaderMap, peer: Option<SocketAddr>) -> Self {
        Self {
            request: valid_id(headers, &REQUEST_ID).unwrap_or_else(next_id),
            correlation: valid_id(headers, &CORRELATION_ID),
            traceparent: headers
                .get(TRACEPARENT)
                .filter(|value| is_traceparent(value))
                .cloned(),
            peer,
        }
    }

    /// The request id as text.
    #[must_use]
    pub fn request_id_str(&self) -> &str {
        text(&self.request)
    }

    /// The request id, to be recorded.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        RequestId::parse(self.request_id_str()).expect("checked when it was taken over")
    }

    /// The correlation id, if the caller sent one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        let value = self.correlation.as_ref()?;
        Some(CorrelationId::parse(text(value)).expect("checked when it was taken over"))
    }

    /// The correlation id to send on: the caller's, else this request's own id.
    #[must_use]
    pub fn correlation_header(&self) -> &HeaderValue {
        self.correlation.as_ref().unwrap_or(&self.request)
    }

    /// The W3C trace context that calls made for this request are to name: that of its own span, else
    /// the caller's, if that sent a well-formed one.
    #[must_use]
    pub const fn traceparent(&self) -> Option<&HeaderValue> {
        self.traceparent.as_ref()
    }

    /// The trace that this request belongs to, if it belongs to one.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        text(self.traceparent.as_ref()?).split('-').nth(1)
    }

    /// The address at the other end of the connection, where there is one.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::of(&parts.headers, None)))
    }
}

/// Put into an answer's extensions by a handler that waited because it was asked to, such as a long
/// poll: its time is not a sign of slowness.
#[derive(Clone, Copy, Debug)]
pub struct WaitedOnPurpose;

/// Put into an answer's extensions by a handler that refused for a reason which was logged when it
/// began, such as an open breaker: a line for each would bury the one that says why.
#[derive(Clone, Copy, Debug)]
pub struct ToldAlready;

fn valid_id(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let value = headers.get(name)?;
    check_id(value.to_str().ok()?).ok()?;
    Some(value.clone())
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().expect("only visible ASCII is taken over")
}

/// `version-trace-parent-flags`, in lowercase hex, no part all zero where that is forbidden.
fn is_traceparent(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let hex = |part: &str, len: usize| {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == len && part.bytes().all(digits)
    };
    let nonzero = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    // Version 00 has exactly four parts; later ones may have more.
    let ends = parts.next().is_none() || version != "00";
    let shaped = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    shaped && ends && version != "ff" && nonzero(trace) && nonzero(parent) && text.len() <= 128
}

/// Room for the prefix, a dash and the counter's sixteen digits.
const MADE_ID_BYTES: usize = 27;

struct MadeId {
    bytes: [u8; MADE_ID_BYTES],
    len: usize,
}

impl AsRef<[u8]> for MadeId {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A new id: ten hex digits of this process, a dash, a counter.
fn next_id() -> HeaderValue {
    static PREFIX: LazyLock<u64> = LazyLock::new(|| rand::random::<u64>() >> 24);
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    made_id(*PREFIX, COUNTER.fetch_add(1, Ordering::Relaxed))
}

fn made_id(prefix: u64, number: u64) -> HeaderValue {
    let digits = (16 - number.leading_zeros() as usize / 4).max(8);
    let mut made = MadeId {
        bytes: [b'-'; MADE_ID_BYTES],
        len: 11 + digits,
    };
    let hex = |value: u64, place: usize| {
        let digit = value >> (4 * place) & 0xF;
        char::from_digit(u32::try_from(digit).unwrap_or(0), 16).map_or(b'0', |c| c as u8)
    };
    for (index, byte) in made.bytes.iter_mut().enumerate() {
        match index {
            0..10 => *byte = hex(prefix, 9 - index),
            10 => {}
            _ if index < 11 + digits => *byte = hex(number, 10 + digits - index),
            _ => break,
        }
    }
    // One allocation, shared by the context, the log line and the answer's header.
    HeaderValue::from_maybe_shared(Bytes::from_owner(made)).expect("hex digits and a dash")
}

/// What is told about requests, for metrics. Called on the hot path: count, do not format.
pub trait RequestObserver: Clone + Send + Sync + 'static {
    /// A request has begun.
    fn began(&self);
    /// A request that had begun has its answer's head.
    fn finished(&self, request: &FinishedRequest<'_>);
    /// A request that had begun was given up by its caller.
    fn abandoned(&self);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl RequestObserver for NoObserver {
    fn began(&self) {}
    fn finished(&self, _: &FinishedRequest<'_>) {}
    fn abandoned(&self) {}
}

/// A request and how it ended.
#[derive(Debug)]
pub struct FinishedRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The route's template, such as `/v1/inventory/{productId}`; never the path.
    pub route: &'a str,
    /// The answer's status.
    pub status: StatusCode,
    /// Time to the answer's head.
    pub elapsed: Duration,
    /// Whether the time was waited on purpose.
    pub waited: bool,
    /// Whether the reason of a refusal was logged when it began.
    pub told: bool,
}

/// Puts [`RequestContextService`] around routes.
#[derive(Clone, Copy, Debug)]
pub struct RequestContextLayer<O = NoObserver> {
    observer: O,
}

impl Default for RequestContextLayer<NoObserver> {
    fn default() -> Self {
        Self::new(NoObserver)
    }
}

impl<O: RequestObserver> RequestContextLayer<O> {
    /// A layer that tells `observer` of every request.
    #[must_use]
    pub const fn new(observer: O) -> Self {
        Self { observer }
    }
}

impl<S, O: RequestObserver> Layer<S> for RequestContextLayer<O> {
    type Service = RequestContextService<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestContextService {
            inner,
            observer: self.observer.clone(),
        }
    }
}

/// See [the module](self).
#[derive(Clone, Debug)]
pub struct RequestContextService<S, O = NoObserver> {
    inner: S,
    observer: O,
}

impl<S, O> Service<Request> for RequestContextService<S, O>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    O: RequestObserver,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RequestContextFuture<S::Future, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let peer = request
            .extensions_mut()
            .remove::<Peer>()
            .map(|Peer(peer)| peer);
        let mut context = RequestContext::of(request.headers(), peer);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let echoed = context.traceparent.clone();
        let named = || format!("{} {}", request.method(), route_of(route.as_ref()));
        let span = Span::served(named, echoed.as_ref());
        if let Some(own) = span.as_ref().and_then(Span::traceparent) {
            context.traceparent = Some(own);
        }
        let running = Running {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route,
            started: Instant::now(),
            observer: Observed::began(self.observer.clone()),
            echoed: echoed.or_else(|| context.traceparent.clone()),
            span,
            context: context.clone(),
        };
        request.extensions_mut().insert(context);
        // A handler may panic before it returns its future as well as in it.
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        RequestContextFuture {
            inner: inner.ok(),
            running: Some(running),
        }
    }
}

/// Tells the observer that a request was given up, unless it was finished.
struct Observed<O: RequestObserver> {
    observer: O,
    finished: bool,
}

impl<O: RequestObserver> Observed<O> {
    fn began(observer: O) -> Self {
        observer.began();
        Self {
            observer,
            finished: false,
        }
    }
}

impl<O: RequestObserver> Drop for Observed<O> {
    fn drop(&mut self) {
        if !self.finished {
            self.observer.abandoned();
        }
    }
}

struct Running<O: RequestObserver> {
    context: RequestContext,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    started: Instant,
    observer: Observed<O>,
    /// What the answer says: the caller's own trace context, or the one that was begun for it.
    echoed: Option<HeaderValue>,
    span: Option<Span>,
}

fn route_of(route: Option<&MatchedPath>) -> &str {
    route.map_or(NO_ROUTE, MatchedPath::as_str)
}

pin_project! {
    /// The answer of a [`RequestContextService`].
    pub struct RequestContextFuture<F, O: RequestObserver> {
        #[pin]
        inner: Option<F>,
        running: Option<Running<O>>,
    }
}

impl<F, O: RequestObserver> fmt::Debug for RequestContextFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContextFuture")
            .finish_non_exhaustive()
    }
}

impl<F, O> Future for RequestContextFuture<F, O>
where
    F: Future<Output = Result<Response, Infallible>>,
    O: RequestObserver,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.inner.as_pin_mut() {
            // What the handler left half-done is dropped with it; nothing of it is used again.
            Some(inner) => match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                Ok(poll) => ready!(poll).ok(),
                Err(_panic) => None,
            },
            None => None,
        };
        let running = this.running.take().expect("not polled after it was ready");
        Poll::Ready(Ok(running.finish(answer)))
    }
}

impl<O: RequestObserver> Running<O> {
    /// Completes the answer; `None` is a panic.
    fn finish(mut self, answer: Option<Response>) -> Response {
        let panicked = answer.is_none();
        let mut response = answer.unwrap_or_else(|| {
            Problem::new(ProblemCode::Internal, ProblemCode::Internal.title()).into_response()
        });
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let id = self.context.request_id_str();
            problem_response::render(&mut response, self.uri.path(), id);
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.context.request.clone());
        headers.insert(CORRELATION_ID, self.context.correlation_header().clone());
        if let Some(traceparent) = self.echoed.take() {
            headers.insert(TRACEPARENT, traceparent);
        }
        if let Some(span) = self.span.take() {
            span.answered(status.as_u16());
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        let finished = FinishedRequest {
            method: &self.method,
            route: route_of(self.route.as_ref()),
            status,
            elapsed: self.started.elapsed(),
            waited: response.extensions().get::<WaitedOnPurpose>().is_some(),
            told: response.extensions().get::<ToldAlready>().is_some(),
        };
        self.observer.finished = true;
        self.observer.observer.finished(&finished);
        log(&finished, &self.context, panicked);
        response
    }
}

/// One line per request; the fields are evaluated only when the line is written.
fn log(request: &FinishedRequest<'_>, context: &RequestContext, panicked: bool) {
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                method = request.method.as_str(),
                route = request.route,
                status = request.status.as_u16(),
                duration_us = u64::try_from(request.elapsed.as_micros()).unwrap_or(u64::MAX),
                request_id = context.request_id_str(),
                correlation_id = text(context.correlation_header()),
                trace_id = context.trace_id(),
                $message
            )
        };
    }
    let slow = request.elapsed >= limits::SLOW_REQUEST && !request.waited;
    if panicked {
        line!(error, "panicked");
    } else if request.told {
        line!(debug, "refused");
    } else if request.status.is_server_error() {
        line!(warn, "failed");
    } else if slow {
        line!(warn, "slow");
    } else if matches!(
        request.status,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED
    ) {
        // Not a fault of anybody's: who races for a product loses now and then, by the thousand.
        line!(debug, "refused");
    } else if request.status.is_client_error() {
        line!(info, "refused");
    } else {
        line!(debug, "served");
    }
}
