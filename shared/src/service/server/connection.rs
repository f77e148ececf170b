//! One connection: hyper's machine for its protocol, and a watchdog beside it.
//!
//! hyper has a timer for request heads of its own. It is not used: it makes and cancels a timer for
//! every request, which shows at a hundred thousand requests a second, and it counts idling between
//! requests as reading a head, so that one value would have to serve both. The watchdog keeps one
//! timer per connection, moves it only when it fires, and judges by what lasted since.
//!
//! The timer fires at least every `min(header_read, write_stall)`. Whatever begins to last is
//! stamped in the poll in which it began, and its deadline lies at least that far ahead, so it is
//! met exactly although nothing is armed when it begins.
//!
//! Over HTTP/2 the machine reads on while requests are handled, so what comes between them need not be
//! the beginning of a head: there only idling and stuck writes are judged, a client that is gone is
//! found out by pings, and heads are bounded in size and, as requests at the same time, in number. Left
//! out there: an answer whose client grants it no room stays until the connection ends.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::activity::{Activity, AnswerBody, Watched};
use super::{App, DropAnswer, ServerOptions};
use crate::limits;
use crate::service::request_context::Peer;
use crate::service::tls::{self, Tls};

/// hyper refuses smaller read buffers.
const READ_BUFFER_MIN: usize = 8_192;

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const CUT: u8 = 2;

/// How far the server is on its way to the end; only goes up.
///
/// A flag beside the notification, because asking a `Notified` takes a lock that all connections
/// share, and asking the flag does not.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stage: AtomicU8,
    changed: Notify,
}

impl Stages {
    pub(super) fn drain(&self) {
        self.enter(DRAINING);
    }

    pub(super) fn cut(&self) {
        self.enter(CUT);
    }

    fn enter(&self, stage: u8) {
        self.stage.store(stage, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn at(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }

    /// Waits until the server has begun to end.
    async fn ending(&self) {
        let mut changed = pin!(self.changed.notified());
        // From here on no change is missed, and what came before is seen.
        changed.as_mut().enable();
        if self.at() == SERVING {
            changed.await;
        }
    }
}

/// How a connection came in, and what it may do.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) options: ServerOptions,
}

/// Serves one connection until it ends.
pub(super) async fn drive<S: App>(stream: TcpStream, door: Door, app: S, stages: &Stages) {
    let opened = Instant::now();
    let Some(tls) = &door.tls else {
        return http_1(stream, opened, &door, app, stages).await;
    };
    let shaking = tls.acceptor().accept(stream);
    let stream = tokio::select! {
        biased;
        () = stages.ending() => return,
        shaken = timeout(door.options.header_read, shaking) => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "no TLS with this client"),
            Err(_) => return tracing::debug!("the TLS handshake took too long"),
        },
    };
    if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) {
        http_2(stream, opened, &door, app, stages).await;
    } else {
        http_1(stream, opened, &door, app, stages).await;
    }
}

async fn http_1<S: App>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    opened: Instant,
    door: &Door,
    app: S,
    stages: &Stages,
) {
    let activity = Arc::new(Activity::default());
    let service = Answering::new(app, door.peer, &activity);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let mut http = http1::Builder::new();
    http.max_buf_size(door.options.header_bytes.max(READ_BUFFER_MIN));
    let http = pin!(http.serve_connection(stream, service));
    let watchdog = Watchdog::new(&activity, opened, door.options);
    watch(http, |http| http.graceful_shutdown(), watchdog, stages).await;
}

async fn http_2<S: App>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    opened: Instant,
    door: &Door,
    app: S,
    stages: &Stages,
) {
    let activity = Arc::new(Activity::default());
    let service = Answering::new(app, door.peer, &activity);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let heads = u32::try_from(door.options.header_bytes).unwrap_or(u32::MAX);
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(heads)
        .keep_alive_interval(limits::HTTP2_PING)
        .keep_alive_timeout(door.options.write_stall);
    let http = pin!(http.serve_connection(stream, service));
    let mut watchdog = Watchdog::new(&activity, opened, door.options);
    watchdog.heads = false;
    watch(http, |http| http.graceful_shutdown(), watchdog, stages).await;
}

/// Lets hyper's machine run until it ends, `watchdog` ends it, or the server does; `finish` tells it to
/// answer what was begun and to close.
async fn watch<F: Future<Output = hyper::Result<()>>>(
    mut http: Pin<&mut F>,
    finish: impl Fn(Pin<&mut F>),
    mut watchdog: Watchdog<'_>,
    stages: &Stages,
) {
    let mut timer = pin!(sleep(watchdog.interval()));
    let mut changed = pin!(stages.changed.notified());
    let mut seen = SERVING;
    let mut asleep = false;
    poll_fn(|cx| {
        // Wakers are left with the timer and the notification once; they stay good, because a task
        // keeps its waker. Later polls only look at flags, which takes no lock.
        if !asleep {
            asleep = true;
            _ = timer.as_mut().poll(cx);
            _ = changed.as_mut().poll(cx);
        }
        let stage = stages.at();
        if stage != seen {
            if stage == CUT {
                return Poll::Ready(());
            }
            seen = stage;
            finish(http.as_mut());
            // For the next stage; if that has come already, the poll below is woken by it.
            changed.set(stages.changed.notified());
            _ = changed.as_mut().poll(cx);
            if stages.at() == CUT {
                return Poll::Ready(());
            }
        }
        if let Poll::Ready(outcome) = http.as_mut().poll(cx) {
            if let Err(error) = outcome {
                tracing::debug!(%error, "connection ended early");
            }
            return Poll::Ready(());
        }
        watchdog.look();
        if timer.is_elapsed() {
            let now = Instant::now();
            match watchdog.judge(now) {
                Ok(next) => {
                    timer.as_mut().reset(next);
                    _ = timer.as_mut().poll(cx);
                }
                Err(overdue) => {
                    tracing::debug!(%overdue, "connection closed");
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    })
    .await;
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Head,
    Idle,
    Write,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the request head took too long",
            Self::Idle => "idle for too long",
            Self::Write => "the answer is not being read",
        })
    }
}

/// Judges what lasts.
struct Watchdog<'a> {
    activity: &'a Activity,
    options: ServerOptions,
    opened: Instant,
    /// Whether bytes between requests are the beginning of a head.
    heads: bool,
    /// Since when a head that is not whole is coming.
    head: Option<Instant>,
    /// Since when nothing could be written, after how many writes.
    stuck: Option<(Instant, u32)>,
    /// Since when it is known to be idle, after how many answers.
    idle: Option<(Instant, u32)>,
}

impl<'a> Watchdog<'a> {
    fn new(activity: &'a Activity, opened: Instant, options: ServerOptions) -> Self {
        Self {
            activity,
            options,
            opened,
            heads: true,
            head: None,
            stuck: None,
            idle: None,
        }
    }

    /// The longest time between two judgements.
    fn interval(&self) -> std::time::Duration {
        self.options.header_read.min(self.options.write_stall)
    }

    /// Stamps what has begun to last; looks at the clock only then.
    fn look(&mut self) {
        let activity = self.activity;
        if activity.busy() || !activity.head_begun() || !self.heads {
            self.head = None;
        } else if self.head.is_none() {
            self.head = Some(Instant::now());
        }
        if !activity.write_stuck() {
            self.stuck = None;
        } else if self
            .stuck
            .is_none_or(|(_, writes)| writes != activity.writes())
        {
            self.stuck = Some((Instant::now(), activity.writes()));
        }
    }

    /// When to judge next, or what is overdue.
    fn judge(&mut self, now: Instant) -> Result<Instant, Overdue> {
        let mut next = now + self.interval();
        let mut bound = |since: Instant, limit, overdue| {
            let deadline = since + limit;
            next = next.min(deadline);
            if now >= deadline {
                Err(overdue)
            } else {
                Ok(())
            }
        };
        if let Some((since, _)) = self.stuck {
            bound(since, self.options.write_stall, Overdue::Write)?;
        }
        let answered = self.activity.answered();
        if self.activity.busy() {
            self.idle = None;
        } else if answered == 0 {
            bound(self.opened, self.options.header_read, Overdue::Head)?;
        } else if let Some(since) = self.head {
            bound(since, self.options.header_read, Overdue::Head)?;
        } else {
            // Stamped here and not when it began, which may be an interval earlier: an idle
            // connection may live that much longer, and a busy one saves a look at the clock.
            let known = self.idle.filter(|(_, at)| *at == answered);
            let (since, _) = *self.idle.insert(known.unwrap_or((now, answered)));
            bound(since, self.options.idle, Overdue::Idle)?;
        }
        Ok(next)
    }
}

/// The application as hyper calls it.
struct Answering<S> {
    /// `call` wants it exclusively and hyper shares it; a connection calls one after the other.
    app: RefCell<S>,
    peer: Peer,
    activity: Arc<Activity>,
}

impl<S> Answering<S> {
    fn new(app: S, peer: SocketAddr, activity: &Arc<Activity>) -> Self {
        Self {
            app: RefCell::new(app),
            peer: Peer(peer),
            activity: Arc::clone(activity),
        }
    }
}

impl<S: App> hyper::service::Service<Request<Incoming>> for Answering<S> {
    type Response = http::Response<AnswerBody>;
    type Error = Dropped;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.request_begins();
        let mut request = request.map(|body| {
            // An empty body needs no box.
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(Offered { body: Some(body) })
            }
        });
        request.extensions_mut().insert(self.peer);
        Answer {
            answer: self.app.borrow_mut().call(request),
            activity: Some(Arc::clone(&self.activity)),
        }
    }
}

/// A request's body. What a handler leaves of it is read for a while and thrown away: a client that is
/// still sending when its connection goes away never reads why it was refused.
struct Offered {
    /// `None` at its end.
    body: Option<Incoming>,
}

impl http_body::Body for Offered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.as_ref().map(Incoming::size_hint);
        rest.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime the service is ending, and the connection with it.
        if let (Some(left), Ok(runtime)) = (left, Handle::try_current()) {
            drop(runtime.spawn(pass_over(left)));
        }
    }
}

/// Reads on, but not for long.
async fn pass_over(mut body: Incoming) {
    let reading = async {
        let mut passed = 0;
        while let Some(Ok(frame)) = body.frame().await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > limits::BODY_PASSED_OVER {
                break;
            }
        }
    };
    drop(tokio::time::timeout(limits::BODY_PASSING_OVER, reading).await);
}

/// An answer that is kept back on purpose; hyper closes the connection of a service that fails.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer was dropped on purpose")]
struct Dropped;

pin_project! {
    /// An answer on its way.
    struct Answer<F> {
        #[pin]
        answer: F,
        activity: Option<Arc<Activity>>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = Result<http::Response<AnswerBody>, Dropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.answer.poll(cx));
        if response.extensions().get::<DropAnswer>().is_some() {
            return Poll::Ready(Err(Dropped));
        }
        let activity = this.activity.take().expect("not polled after it was ready");
        Poll::Ready(Ok(response.map(|body| AnswerBody::new(body, activity))))
    }
}
