//! What a connection is doing, as its watchdog needs to know it.
//!
//! Noted by the two ends that see it: the stream (bytes came, a write is stuck) and the service
//! (a request began, its answer is through). Kept as plain flags instead of timestamps, so that a
//! request costs a few stores and no look at a clock; the watchdog stamps what it finds lasting.
//!
//! Over HTTP/1.1 all users of one [`Activity`] run inside the same task, one after the other; the
//! streams of HTTP/2 have tasks of their own. Either way each flag stands for itself, and whoever reads
//! an old one looks again at the next timer, so relaxed order is enough.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See [the module](self).
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests between the end of their head and the end of their answer.
    open: AtomicU32,
    /// Bytes of a head that is not whole have come.
    head_begun: AtomicBool,
    /// Answers that are through.
    answered: AtomicU32,
    /// The last write did not get rid of anything.
    write_stuck: AtomicBool,
    /// Writes that got rid of something.
    writes: AtomicU32,
}

impl Activity {
    pub(super) fn request_begins(&self) {
        self.open.fetch_add(1, Relaxed);
        self.head_begun.store(false, Relaxed);
    }

    fn answer_ends(&self) {
        self.answered.fetch_add(1, Relaxed);
        self.open.fetch_sub(1, Relaxed);
    }

    fn bytes_came(&self) {
        // Within a request they belong to its body.
        if !self.busy() {
            self.head_begun.store(true, Relaxed);
        }
    }

    fn write_got_through(&self) {
        self.writes.store(self.writes().wrapping_add(1), Relaxed);
        self.write_stuck.store(false, Relaxed);
    }

    pub(super) fn busy(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    pub(super) fn head_begun(&self) -> bool {
        self.head_begun.load(Relaxed)
    }

    pub(super) fn answered(&self) -> u32 {
        self.answered.load(Relaxed)
    }

    pub(super) fn write_stuck(&self) -> bool {
        self.write_stuck.load(Relaxed)
    }

    pub(super) fn writes(&self) -> u32 {
        self.writes.load(Relaxed)
    }
}

/// A stream that notes what happens on it.
#[derive(Debug)]
pub(super) struct Watched<T> {
    stream: T,
    activity: Arc<Activity>,
}

impl<T> Watched<T> {
    pub(super) const fn new(stream: T, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(_) => self.activity.write_got_through(),
            Poll::Pending => self.activity.write_stuck.store(true, Relaxed),
        }
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer's body that notes its end.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    activity: Arc<Activity>,
}

impl AnswerBody {
    pub(super) const fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.activity.answer_ends();
    }
}
