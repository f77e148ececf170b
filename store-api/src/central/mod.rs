//! What a store asks of central, and what can come of it.
//!
//! [`Central`] is the whole of it: the feed, the snapshot, and calls that are passed on. Two
//! implementations stack: [`http`] speaks HTTP, [`guarded`] puts breaker and retry around the calls
//! (not around the feed, which has its own pace). Tests put a faulty one in between.

mod answer;
pub mod contact;
pub mod facts;
pub mod feed;
pub mod guarded;
pub mod http;
mod unpack;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub use answer::problem_code;

use crate::replica::answer::{Page, Poll};
use crate::replica::live::Incoming;
use crate::replica::position::{Gen, Position};

/// What the feed answered.
#[derive(Debug)]
pub enum FeedReply {
    /// 200, parsed but not judged.
    Page(Page, Vec<Incoming>),
    /// 409 `log_diverged`.
    Diverged,
    /// 409 `offset_ahead`.
    Ahead,
    /// 410 `offset_gone`.
    Gone,
    /// Anything else, or nothing.
    Failed(SyncFault),
}

/// Why the feed or the snapshot could not be read. For the log and the status page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SyncFault {
    /// What happened, without addresses.
    pub what: String,
    /// What the other side asked for.
    pub retry_after: Option<Duration>,
    /// Whether the other side has no such thing at all.
    pub is_missing: bool,
}

impl SyncFault {
    /// A fault without a wish.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            retry_after: None,
            is_missing: false,
        }
    }
}

/// A snapshot on its way.
pub struct SnapshotStream {
    /// How its bytes are packed.
    pub packing: Packing,
    /// Its bytes, as they come.
    pub bytes: BoxStream<'static, Result<Bytes, SyncFault>>,
    /// Its name, where the other side gave one.
    pub name: Option<Position>,
}

impl std::fmt::Debug for SnapshotStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStream")
            .field("packing", &self.packing)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 8878.
    Zstd,
}

/// A call to be passed on.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query at central.
    pub path: String,
    /// Its JSON body, if it has one.
    pub body: Option<Bytes>,
    /// The idempotency key, if it goes into a header.
    pub key: Option<HeaderValue>,
    /// The version that the caller will have changed, or nothing (`If-Match`).
    pub if_match: Option<HeaderValue>,
    /// Whether it may be sent again when nobody knows what became of it: a GET, or something that
    /// central does at most once because of the keys in it.
    pub is_repeatable: bool,
    /// Time for one attempt, where that is not the usual one.
    pub attempt: Option<Duration>,
    /// Whether 403 can be said of what is asked for, such as another shop's order, and not only of
    /// this store's key.
    pub may_be_forbidden: bool,
    /// The piece of work it belongs to.
    pub correlation: Option<HeaderValue>,
    /// W3C trace context.
    pub traceparent: Option<HeaderValue>,
}

/// Central's answer to a call, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// The headers that matter to the caller.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

/// What came of asking for a stream.
pub enum Streamed {
    /// It goes on for as long as the other side has something to say.
    Going {
        /// The life of the log that its ids count in, where the other side says so.
        log_gen: Option<Gen>,
        /// Its bytes, as they come.
        bytes: BoxStream<'static, Result<Bytes, SyncFault>>,
    },
    /// An answer like any other, such as a refusal.
    Answered(Reply),
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Going { log_gen, .. } => f.debug_tuple("Going").field(log_gen).finish(),
            Self::Answered(reply) => f.debug_tuple("Answered").field(reply).finish(),
        }
    }
}

/// Why a call has no answer of central's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// It certainly did not happen: never sent, or refused before anything was done.
    #[error("central cannot be reached")]
    NotSent,
    /// It was sent, and nobody knows.
    #[error("central did not answer")]
    Unknown {
        /// Whether it was the time that ran out.
        timed_out: bool,
    },
    /// The breaker is open; nothing was sent.
    #[error("central has not been answering")]
    Open {
        /// When to try again.
        retry_after: Duration,
    },
    /// Central does not accept this store's key.
    #[error("central does not accept this store's key")]
    KeyRefused,
}

/// What a store asks of central.
pub trait Central: Send + Sync + std::fmt::Debug {
    /// Asks the feed. Ends by itself after `poll.give_up_after`.
    fn poll<'a>(&'a self, poll: &'a Poll) -> BoxFuture<'a, FeedReply>;

    /// Asks for the newest snapshot, past every cache.
    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotStream, SyncFault>>;

    /// Passes a call on, to be answered within `within`.
    fn call<'a>(
        &'a self,
        call: &'a Call,
        within: Duration,
    ) -> BoxFuture<'a, Result<Reply, CallFault>>;

    /// Asks for server-sent events behind the one that is called `last`. `within` is the time until
    /// the answer begins.
    fn stream<'a>(
        &'a self,
        call: &'a Call,
        last: Option<HeaderValue>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Streamed, CallFault>>;
}
