//! The two threads behind a ledger, and what goes from one to the other.
//!
//! ```text
//! handlers ─▶ inbox ─▶ writer thread ─▶ flusher thread ─▶ heralds ─▶ handlers
//!                      decides, encodes   syncs, publishes   wake, on the handlers' own threads
//! ```
//!
//! While a frame is being synced, the writer decides what has arrived for the next one; it hands
//! that over when the sync returns. So a frame is whatever arrived during the sync before it: group
//! commit without a timer. The flusher publishes in the order of the frames, and only after the sync.
//! Answers leave through the [`herald`](super::herald)s.
//!
//! A compare-and-set that has lost a race may have to wait before it is decided
//! ([`latecomers`](super::latecomers)); everything else is decided in the order in which it came.
//!
//! If the journal fails, nothing that is in flight is answered: the state in memory may be ahead of
//! the log. The `fatal` hook ends the process. A panic is no different: a process without its writer
//! would go on reading and decide nothing, so it ends, and the next one recovers from the log.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use shared::clock::Clock;
use shared::domain::ids::ProductId;
use shared::limits;
use tokio::time::Instant;

use super::herald::Replies;
use super::inbox::{Inbox, Reply, Submission, Taken};
use super::latecomers::Latecomers;
use super::publication::Publication;
use super::published::Published;
use super::writer::{Draft, Writer};
use crate::journal::{Flush, Journal, JournalError};
use crate::metrics::FrameTally;

#[cfg(test)]
mod tests;

/// Ends the process when the journal has failed.
pub(super) type Fatal = Arc<dyn Fn(&JournalError) + Send + Sync>;

/// What the threads work with.
pub(super) struct Parts {
    pub journal: Box<dyn Journal>,
    pub writer: Writer,
    pub inbox: Arc<Inbox>,
    pub clock: Arc<dyn Clock>,
    pub published: Arc<Published>,
    pub fatal: Fatal,
}

/// Starts the writer and the flusher; they end when the inbox is closed and empty.
pub(super) fn start(parts: Parts) -> (JoinHandle<()>, JoinHandle<()>) {
    let (stage, staged) = sync_channel(1);
    let (flushed, done) = sync_channel(1);
    let flusher = Flusher {
        staged,
        flushed,
        published: Arc::clone(&parts.published),
    };
    let pipeline = Pipeline {
        journal: parts.journal,
        writer: parts.writer,
        inbox: parts.inbox,
        clock: parts.clock,
        stage,
        done,
        published: parts.published,
        latecomers: Latecomers::default(),
    };
    let fatal = Arc::clone(&parts.fatal);
    (
        spawn("ledger-writer", fatal, || pipeline.run()),
        spawn("ledger-flusher", parts.fatal, || flusher.run()),
    )
}

fn spawn(
    name: &'static str,
    fatal: Fatal,
    work: impl FnOnce() -> Result<(), JournalError> + Send + 'static,
) -> JoinHandle<()> {
    let run = move || {
        // Whatever it leaves half done is never looked at again: the process ends.
        let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            Err(JournalError::Panicked {
                thread: name,
                what: message_of(&*panic),
            })
        });
        if let Err(error) = ended {
            fatal(&error);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be started when the process starts")
}

/// What a panic said.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    let plain = panic.downcast_ref::<&str>().copied();
    formatted.or(plain).unwrap_or("no message").to_owned()
}

/// A frame on its way to the disk, and who waits for it.
struct Staged {
    flush: Flush,
    publication: Publication,
    /// By lane.
    replies: Vec<Replies>,
    /// What is counted of it; `None` for a frame that another process wrote.
    figures: Option<Figures>,
}

/// What is counted of a frame.
struct Figures {
    decided: FrameTally,
    /// Keys that are remembered after it.
    keys: usize,
}

/// The writer thread.
struct Pipeline {
    journal: Box<dyn Journal>,
    writer: Writer,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    stage: SyncSender<Staged>,
    /// One token for each staged frame that is durable.
    done: Receiver<()>,
    published: Arc<Published>,
    latecomers: Latecomers,
}

impl Pipeline {
    fn run(mut self) -> Result<(), JournalError> {
        let mut batch = Vec::new();
        let mut spare = Vec::new();
        loop {
            let timers = [self.latecomers.deadline(), self.next_expiry()];
            let deadline = timers.into_iter().flatten().min();
            match self.inbox.take(&mut batch, deadline) {
                Taken::Work => {}
                Taken::Closed if self.latecomers.is_empty() => return Ok(()),
                Taken::Closed => self.latecomers.close(),
            }
            // Opened whatever there is to do: it takes in what others wrote.
            let open = self.open()?;
            let mut next = Some(self.decide(&mut batch, open)?);
            // As long as there is work, one frame is synced while the next is decided.
            while let Some(open) = next.take() {
                if !self.hand_over(open)? {
                    break;
                }
                self.inbox.try_take(&mut spare);
                next = self.decide_some(&mut spare, None)?;
                if self.done.recv().is_err() {
                    return Err(JournalError::Poisoned);
                }
                self.inbox.try_take(&mut spare);
                next = self.decide_some(&mut spare, next)?;
            }
        }
    }

    /// When the next hold runs out. A clock that was set back makes this wake too early, which does no
    /// harm; it is looked at again after at most [`limits::TIMER_MAX`], so one that was set forward is
    /// noticed.
    fn next_expiry(&self) -> Option<Instant> {
        let due = self.writer.next_expiry()?;
        let millis = due.millis_since(self.clock.now());
        // A moment later than the millisecond itself, which must have passed.
        let wait = Duration::from_millis(millis.unsigned_abs() + 1);
        Some(Instant::now() + wait.min(limits::TIMER_MAX))
    }

    /// Decides what there is, into the open frame, or into a new one if there is anything.
    fn decide_some(
        &mut self,
        batch: &mut Vec<Submission>,
        open: Option<Open>,
    ) -> Result<Option<Open>, JournalError> {
        let open = match open {
            Some(open) => open,
            None if batch.is_empty() && self.latecomers.is_empty() => return Ok(None),
            None => self.open()?,
        };
        self.decide(batch, open).map(Some)
    }

    /// Decides everything in `batch`, and who has waited long enough; who is too late may have to wait.
    fn decide(
        &mut self,
        batch: &mut Vec<Submission>,
        mut frame: Open,
    ) -> Result<Open, JournalError> {
        for submission in batch.drain(..) {
            if let Some(submission) = self.in_time(submission) {
                frame = self.take_in(submission, frame)?;
            }
        }
        if !self.latecomers.is_idle() {
            let version = |product: &ProductId| self.writer.version(product);
            for submission in self.latecomers.due(version, Instant::now()) {
                frame = self.take_in(submission, frame)?;
            }
        }
        Ok(frame)
    }

    /// Gives a submission back unless it has lost a race and must wait to be told.
    fn in_time(&mut self, submission: Submission) -> Option<Submission> {
        let [request] = submission.requests.as_slice() else {
            return Some(submission);
        };
        let Some((product, version)) = self.writer.conflict(request) else {
            return Some(submission);
        };
        let product = product.clone();
        self.latecomers
            .admit(submission, &product, version, Instant::now())
    }

    /// Decides one submission into the frame, or into the next one if that is full.
    fn take_in(&mut self, submission: Submission, frame: Open) -> Result<Open, JournalError> {
        let Submission {
            requests,
            lane,
            reply,
        } = submission;
        let mut frame = if frame.draft.is_full() {
            if self.hand_over(frame)? && self.done.recv().is_err() {
                return Err(JournalError::Poisoned);
            }
            self.open()?
        } else {
            frame
        };
        let decide = |request| self.writer.decide(&mut frame.draft, request);
        let answers: Vec<_> = requests.iter().map(decide).collect();
        answers.iter().for_each(|answer| frame.tally.count(answer));
        if let Some(replies) = frame.replies.get_mut(lane) {
            replies.push((reply, Reply { requests, answers }));
        }
        Ok(frame)
    }

    fn open(&mut self) -> Result<Open, JournalError> {
        let (mut draft, foreign) = self.writer.begin(&mut *self.journal, self.clock.now())?;
        for publication in foreign {
            self.send(Staged {
                flush: Flush::done(),
                publication,
                replies: self.published.no_replies(),
                figures: None,
            })?;
            if self.done.recv().is_err() {
                return Err(JournalError::Poisoned);
            }
        }
        self.writer.expire(&mut draft);
        Ok(Open {
            draft,
            replies: self.published.no_replies(),
            tally: FrameTally::default(),
        })
    }

    /// Gives a frame to the flusher. Returns whether there was anything to give.
    fn hand_over(&mut self, open: Open) -> Result<bool, JournalError> {
        let Open {
            draft,
            replies,
            tally,
        } = open;
        let (flush, publication) = self.writer.finish(&mut *self.journal, draft)?;
        if publication.frame.is_none() && replies.iter().all(Vec::is_empty) {
            return Ok(false);
        }
        let figures = Figures {
            decided: tally,
            keys: self.writer.fold().keys.len(),
        };
        self.send(Staged {
            flush,
            publication,
            replies,
            figures: Some(figures),
        })?;
        Ok(true)
    }

    fn send(&self, staged: Staged) -> Result<(), JournalError> {
        self.stage.send(staged).map_err(|_| JournalError::Poisoned)
    }
}

/// A frame that still takes decisions, and who waits for it.
struct Open {
    draft: Draft,
    /// By lane.
    replies: Vec<Replies>,
    tally: FrameTally,
}

/// The flusher thread.
struct Flusher {
    staged: Receiver<Staged>,
    flushed: SyncSender<()>,
    published: Arc<Published>,
}

impl Flusher {
    fn run(self) -> Result<(), JournalError> {
        while let Ok(Staged {
            flush,
            publication,
            replies,
            figures,
        }) = self.staged.recv()
        {
            let frame = publication.frame.as_ref();
            let records = frame.map(|(frame, _)| frame.header.counts.records);
            let began = Instant::now();
            self.published.sync(flush)?;
            let synced = began.elapsed();
            // From here on it is durable. The writer may go on while it is published.
            self.flushed.send(()).ok();
            self.published.publish(publication, replies);
            // Counted last: nobody waits for it.
            if let Some(Figures { decided, keys }) = figures {
                let metrics = &self.published.metrics;
                if let Some(records) = records {
                    metrics.synced(records, synced);
                }
                metrics.decided(&decided, keys);
            }
        }
        Ok(())
    }
}
