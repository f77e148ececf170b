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
//! If the journal fails, nothing that is in flight is answered: the state in memory may be ahead of
//! the log. The `fatal` hook ends the process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use shared::clock::Clock;

use super::herald::Replies;
use super::inbox::{Inbox, Submission, Taken};
use super::published::Published;
use super::writer::{Draft, Publication, Writer};
use crate::journal::{Flush, Journal, JournalError};

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
    };
    let fatal = Arc::clone(&parts.fatal);
    (
        spawn("ledger-writer", fatal, || pipeline.run()),
        spawn("ledger-flusher", parts.fatal, || flusher.run()),
    )
}

fn spawn(
    name: &str,
    fatal: Fatal,
    work: impl FnOnce() -> Result<(), JournalError> + Send + 'static,
) -> JoinHandle<()> {
    let run = move || {
        if let Err(error) = work() {
            fatal(&error);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be started when the process starts")
}

/// A frame on its way to the disk, and who waits for it.
struct Staged {
    flush: Flush,
    publication: Publication,
    /// By lane.
    replies: Vec<Replies>,
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
}

impl Pipeline {
    fn run(mut self) -> Result<(), JournalError> {
        let mut batch = Vec::new();
        let mut spare = Vec::new();
        loop {
            match self.inbox.take(&mut batch) {
                Taken::Closed => return Ok(()),
                Taken::Work => {}
            }
            // As long as there is work, one frame is synced while the next is decided.
            let mut next = self.decide(&mut batch, None)?;
            while let Some(open) = next.take() {
                if !self.hand_over(open)? {
                    break;
                }
                self.inbox.try_take(&mut spare);
                next = self.decide(&mut spare, None)?;
                if self.done.recv().is_err() {
                    return Err(JournalError::Poisoned);
                }
                self.inbox.try_take(&mut spare);
                next = self.decide(&mut spare, next)?;
            }
        }
    }

    /// Decides everything in `batch` into the open frame, or into a new one.
    fn decide(
        &mut self,
        batch: &mut Vec<Submission>,
        mut open: Option<Open>,
    ) -> Result<Option<Open>, JournalError> {
        if batch.is_empty() && open.is_none() {
            return Ok(None);
        }
        let mut frame = match open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        for Submission {
            requests,
            lane,
            reply,
        } in batch.drain(..)
        {
            if frame.draft.is_full() {
                if self.hand_over(frame)? && self.done.recv().is_err() {
                    return Err(JournalError::Poisoned);
                }
                frame = self.open()?;
            }
            let decide = |request| self.writer.decide(&mut frame.draft, request);
            let answers = requests.iter().map(decide).collect();
            if let Some(replies) = frame.replies.get_mut(lane) {
                replies.push((reply, answers));
            }
        }
        Ok(Some(frame))
    }

    fn open(&mut self) -> Result<Open, JournalError> {
        let (draft, foreign) = self.writer.begin(&mut *self.journal, self.clock.now())?;
        for publication in foreign {
            self.send(Staged {
                flush: Flush::done(),
                publication,
                replies: self.published.no_replies(),
            })?;
            if self.done.recv().is_err() {
                return Err(JournalError::Poisoned);
            }
        }
        Ok(Open {
            draft,
            replies: self.published.no_replies(),
        })
    }

    /// Gives a frame to the flusher. Returns whether there was anything to give.
    fn hand_over(&mut self, open: Open) -> Result<bool, JournalError> {
        let Open { draft, replies } = open;
        let (flush, publication) = self.writer.finish(&mut *self.journal, draft)?;
        if publication.frame.is_none() && replies.iter().all(Vec::is_empty) {
            return Ok(false);
        }
        self.send(Staged {
            flush,
            publication,
            replies,
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
        }) = self.staged.recv()
        {
            flush.run()?;
            // From here on it is durable. The writer may go on while it is published.
            self.flushed.send(()).ok();
            self.published.publish(publication, replies);
        }
        Ok(())
    }
}
