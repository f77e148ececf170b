//! The log: one JSON object (or one readable line) per event, on standard output.
//!
//! Written by a thread of its own behind a bounded queue. A reader that does not keep up (a full
//! pipe) would otherwise stop whichever executor thread logs next, and with it every request on
//! that thread. When the queue is full, lines are dropped, counted, and the count is logged: a gap
//! that says so is better than a service that stands still. At the end what waits is written, but
//! a reader that takes nothing cannot hold the process: it ends all the same, a little later.
//!
//! How much is written can be changed while the service runs ([`set_level`]), until it ends.
//!
//! Libraries log from `warn` on, so that `LOG_LEVEL=debug` shows our own requests and not every
//! frame of the HTTP stack.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::limits;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// One readable line, for people.
    Pretty,
}

/// The text is neither `json` nor `pretty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be json or pretty")]
pub struct NotAFormat;

impl FromStr for LogFormat {
    type Err = NotAFormat;

    fn from_str(text: &str) -> Result<Self, NotAFormat> {
        match text {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err(NotAFormat),
        }
    }
}

/// The crates whose lines follow `LOG_LEVEL`.
const OURS: [&str; 3] = ["central_api", "store_api", "shared"];

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartLogError {
    /// No thread to write it.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Somebody started one before.
    #[error("a log was started before in this process")]
    Twice,
}

/// How much is written, and what changes it once a log has been started.
static WRITTEN: Mutex<(Level, Option<Dial>)> = Mutex::new((Level::INFO, None));

type Dial = reload::Handle<Targets, Registry>;

/// The level from which on our own lines are written.
#[must_use]
pub fn level() -> Level {
    WRITTEN.lock().0
}

/// Writes our own lines from `level` on, until it is changed again or the process ends.
pub fn set_level(level: Level) {
    let mut written = WRITTEN.lock();
    written.0 = level;
    let changed = written.1.as_ref().map(|dial| dial.reload(filter(level)));
    if let Some(Err(error)) = changed {
        tracing::error!(%error, "how much is logged cannot be changed");
    }
}

/// The level that a setting or a body names.
#[must_use]
pub fn level_of(word: &str) -> Option<Level> {
    match word {
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" => Some(Level::WARN),
        "error" => Some(Level::ERROR),
        _ => None,
    }
}

/// Starts the log of this process. Keep the guard until the end: dropping it writes what waits.
///
/// # Errors
/// [`StartLogError`]; nothing is logged then.
pub fn start(level: Level, format: LogFormat) -> Result<LogGuard, StartLogError> {
    let (queue, guard) = LogQueue::start(io::stdout()).map_err(StartLogError::Thread)?;
    let (subscriber, dial) = subscriber(queue, level, format);
    subscriber.try_init().map_err(|_| StartLogError::Twice)?;
    *WRITTEN.lock() = (level, Some(dial));
    Ok(guard)
}

/// What is written at `level`.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_targets(OURS.map(|target| (target, level)))
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(level)))
}

/// What makes lines of events and puts them into `queue`, and what changes how many.
fn subscriber(
    queue: LogQueue,
    level: Level,
    format: LogFormat,
) -> (impl tracing::Subscriber, Dial) {
    let (filter, dial) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(queue);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        LogFormat::Pretty => lines.boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    (subscriber, dial)
}

enum Entry {
    Line(Vec<u8>),
    End,
}

/// The end of the queue that the log's lines are put into.
#[derive(Clone, Debug)]
struct LogQueue {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

/// Writes what waits and ends the log's thread when it is dropped, if the reader takes it within
/// [`limits::LOG_END`].
#[derive(Debug)]
pub struct LogGuard {
    entries: SyncSender<Entry>,
    /// Set when the end has come, in case the queue has no room for the word.
    ending: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl LogQueue {
    fn start(output: impl Write + Send + 'static) -> io::Result<(Self, LogGuard)> {
        let (entries, waiting) = sync_channel(limits::LOG_QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let ending = Arc::new(AtomicBool::new(false));
        let is_ending = Arc::clone(&ending);
        let (running, ended) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                write_lines(&waiting, &counter, &is_ending, output);
                drop(running);
            })?;
        let guard = LogGuard {
            entries: entries.clone(),
            ending,
            ended,
            thread: Some(thread),
        };
        Ok((Self { entries, dropped }, guard))
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes a thread that has nothing to write. One that has will see the flag, so the word need
        // not find room.
        drop(self.entries.try_send(Entry::End));
        if self.ended.recv_timeout(limits::LOG_END) == Err(RecvTimeoutError::Timeout) {
            // Stuck in a write; the end of the process ends it.
            return;
        }
        if let Some(thread) = self.thread.take() {
            // A log thread that panicked has nothing left to say.
            drop(thread.join());
        }
    }
}

/// Takes one event's line; the formatter writes each with a single call.
#[derive(Debug)]
struct LineWriter<'a>(&'a LogQueue);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.entries.try_send(Entry::Line(line.to_vec())).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self)
    }
}

fn write_lines(
    waiting: &Receiver<Entry>,
    dropped: &AtomicU64,
    ending: &AtomicBool,
    output: impl Write,
) {
    let mut output = io::BufWriter::new(output);
    while let Ok(Entry::Line(line)) = waiting.recv() {
        drop(output.write_all(&line));
        write_waiting(waiting, dropped, &mut output);
        // Set before the word is sent: if it is not set yet, the word is still to come and will
        // find room.
        if ending.load(Ordering::SeqCst) {
            break;
        }
    }
    // What came in while the last lines were on their way out.
    write_waiting(waiting, dropped, &mut output);
}

/// Writes everything that waits with one flush. An output that is gone (a closed pipe) must not end the
/// service, so its errors are dropped with the lines.
fn write_waiting(waiting: &Receiver<Entry>, dropped: &AtomicU64, output: &mut impl Write) {
    while let Ok(Entry::Line(line)) = waiting.try_recv() {
        drop(output.write_all(&line));
    }
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        let line =
            format!("{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"count\":{lost}}}\n");
        drop(output.write_all(line.as_bytes()));
    }
    drop(output.flush());
}
