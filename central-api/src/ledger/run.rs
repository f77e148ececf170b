//! The running ledger: two threads, one pipeline.
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

use parking_lot::RwLock;
use shared::clock::{Clock, Timestamp};
use shared::limits;
use shared::view::{Catalogue, Head};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::fold::Fold;
use super::herald::{Heralds, Replies};
use super::inbox::{Inbox, Refused, Submission, Taken};
use super::keys::KeyRetention;
use super::snapshot::{Cut, entries_of};
use super::writer::{Answer, Decided, Draft, Publication, Request, Writer};
use crate::feed::answer::SharedSlices;
use crate::feed::ring::{Chunk, Ring};
use crate::journal::{
    Body, Flush, Generation, Journal, JournalError, JournalReader, LogGen, Record,
};

/// What a ledger needs from outside.
pub struct LedgerOptions {
    /// Tells the time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Names this life of the log.
    pub log_gen: LogGen,
    /// How long keys are remembered.
    pub keys: KeyRetention,
    /// Runtimes of the workers whose requests are answered; empty for the present one.
    pub homes: Vec<Handle>,
    /// Called once, when the journal has failed; must end the process.
    pub fatal: Box<dyn Fn(&JournalError) + Send + Sync>,
}

impl std::fmt::Debug for LedgerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerOptions")
            .field("log_gen", &self.log_gen)
            .finish_non_exhaustive()
    }
}

/// The ledger, as the rest of the program sees it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    inbox: Arc<Inbox>,
    published: Arc<Published>,
}

/// What readers see: everything in here is durable.
#[derive(Debug)]
pub struct Published {
    /// The catalogue.
    pub view: Catalogue,
    /// Recent events.
    pub ring: Ring,
    /// Answers of the feed that others may want too.
    pub slices: SharedSlices,
    /// Older ones.
    pub journal: Arc<dyn JournalReader>,
    heralds: Heralds,
    generations: RwLock<Vec<Generation>>,
    keys: KeyRetention,
}

/// The threads behind a [`Ledger`].
#[derive(Debug)]
pub struct LedgerThreads {
    inbox: Arc<Inbox>,
    writer: JoinHandle<()>,
    flusher: JoinHandle<()>,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It was not taken; nothing happened.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was taken, and the ledger ended before it was durable. It may or may not have happened.
    #[error("the ledger ended before it could answer")]
    Unknown,
}

/// What became of a command, answered before or now.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was decided.
    Decided {
        /// The decision.
        decided: Arc<Decided>,
        /// Whether it was decided by an earlier request with the same key.
        replayed: bool,
    },
    /// Its key was used for another command.
    KeyReused,
}

/// A frame on its way to the disk, and who waits for it.
struct Staged {
    flush: Flush,
    publication: Publication,
    /// By lane.
    replies: Vec<Replies>,
}

impl Ledger {
    /// Begins a new life of the log, and starts the threads. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The journal cannot take the first record of this life.
    pub fn start(
        mut journal: Box<dyn Journal>,
        fold: Fold,
        options: LedgerOptions,
    ) -> Result<(Self, LedgerThreads), JournalError> {
        let mut writer = Writer::new(fold);
        let (mut draft, foreign) = writer.begin(&mut *journal, options.clock.now())?;
        writer.begin_generation(&mut draft, options.log_gen);
        let (flush, _) = writer.finish(&mut *journal, draft)?;
        flush.run()?;
        // Everything so far goes into the view as it stands; the ring begins empty.
        drop(foreign);
        let fold = writer.fold();
        let published = Arc::new(Published {
            view: Catalogue::load(entries_of(fold), writer.head()),
            ring: Ring::new(limits::FEED_RING_BYTES),
            slices: SharedSlices::default(),
            journal: journal.reader(),
            heralds: Heralds::start(writer.head(), &options.homes),
            generations: RwLock::new(fold.generations.clone()),
            keys: options.keys,
        });
        let inbox = Arc::new(Inbox::new(limits::WRITER_QUEUE));
        let foreign_commits = Arc::clone(&inbox);
        published
            .journal
            .on_commit(Arc::new(move || foreign_commits.nudge()));

        let fatal: Arc<dyn Fn(&JournalError) + Send + Sync> = Arc::from(options.fatal);
        let (stage, staged) = sync_channel(1);
        let (flushed, done) = sync_channel(1);
        let flusher = Flusher {
            staged,
            flushed,
            published: Arc::clone(&published),
        };
        let pipeline = Pipeline {
            journal,
            writer,
            inbox: Arc::clone(&inbox),
            clock: options.clock,
            stage,
            done,
            published: Arc::clone(&published),
        };
        let threads = LedgerThreads {
            inbox: Arc::clone(&inbox),
            writer: spawn("ledger-writer", Arc::clone(&fatal), || pipeline.run()),
            flusher: spawn("ledger-flusher", fatal, || flusher.run()),
        };
        Ok((Self { inbox, published }, threads))
    }

    /// What readers see.
    #[must_use]
    pub const fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// The catalogue.
    #[must_use]
    pub fn view(&self) -> &Catalogue {
        &self.published.view
    }

    /// Commands that wait for the writer.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.inbox.depth()
    }

    /// Has commands decided one after the other, with nothing between them.
    ///
    /// # Errors
    /// [`SubmitError`], which says whether anything can have happened.
    pub async fn submit(&self, requests: Vec<Request>) -> Result<Vec<Answer>, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let lane = self.published.heralds.lane_here();
        self.inbox.submit(Submission {
            requests,
            lane,
            reply,
        })?;
        answer.await.map_err(|_| SubmitError::Unknown)
    }

    /// Has one command decided; an earlier decision is read back from its record.
    ///
    /// # Errors
    /// [`SubmitError`], which says whether anything can have happened.
    pub async fn decide(&self, request: Request) -> Result<Outcome, SubmitError> {
        let origin = request.origin.clone();
        let answers = self.submit(vec![request]).await?;
        let answer = answers.into_iter().next().ok_or(SubmitError::Unknown)?;
        self.outcome(answer, &origin).await
    }

    /// Turns an answer into an outcome, reading an earlier decision back if need be. `origin` is
    /// that of the request, whose principal and key must be those of the record.
    ///
    /// # Errors
    /// [`SubmitError::Unknown`] if the record cannot be read.
    pub async fn outcome(
        &self,
        answer: Answer,
        origin: &shared::domain::origin::Origin,
    ) -> Result<Outcome, SubmitError> {
        let seq = match answer {
            Answer::Decided(decided) => {
                return Ok(Outcome::Decided {
                    decided,
                    replayed: false,
                });
            }
            Answer::KeyReused => return Ok(Outcome::KeyReused),
            Answer::Replay { seq } => seq,
        };
        let published = Arc::clone(&self.published);
        let read = tokio::task::spawn_blocking(move || published.record(seq)).await;
        let record = read
            .map_err(|_| SubmitError::Unknown)?
            .map_err(|_| SubmitError::Unknown)?;
        match record {
            Some(Record {
                seq,
                at,
                body: Body::Decision(record),
            }) if record.origin.key == origin.key
                && record.origin.principal == origin.principal =>
            {
                let decided = Decided {
                    seq: Some(seq),
                    at,
                    first_offset: record.first_offset,
                    decision: record.decision,
                };
                Ok(Outcome::Decided {
                    decided: Arc::new(decided),
                    replayed: true,
                })
            }
            Some(_) | None => Err(SubmitError::Unknown),
        }
    }
}

impl Published {
    /// Where the log stands.
    #[must_use]
    pub fn head(&self) -> Head {
        self.heralds.head()
    }

    /// Watches where the log stands. For few; the many who poll have [`moves`](Self::moves).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.heralds.watch()
    }

    /// Changes whenever the head has moved. Subscribe, then read [`head`](Self::head), then wait.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<()> {
        self.heralds.moves()
    }

    /// Whether so many wait that a reader who finds a few events should wait for the next move, which
    /// is announced soon in any case. Subscribe first.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.heralds.is_pressed()
    }

    /// How many wait for the head to move: polls that wait for the next event, and streams.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.heralds.readers()
    }

    /// The lives of the log, oldest first.
    #[must_use]
    pub fn generations(&self) -> Vec<Generation> {
        self.generations.read().clone()
    }

    /// The present life of the log.
    #[must_use]
    pub fn log_gen(&self) -> LogGen {
        self.generations
            .read()
            .last()
            .map_or(LogGen(0), |generation| generation.log_gen)
    }

    /// Reads one record back; `None` if there is none with this number.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, JournalError> {
        let frames = self.journal.frames_from_seq(seq, 1)?;
        let Some(frame) = frames.first() else {
            return Ok(None);
        };
        let Some(line) = frame.line_of(seq) else {
            return Ok(None);
        };
        Record::parse(line)
            .map(Some)
            .map_err(|error| frame.damaged(error.to_string()))
    }

    /// Seq of the first record that was decided at `at` or later, by bisection: time never goes back
    /// in the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn first_seq_at_or_after(&self, at: Timestamp) -> Result<u64, JournalError> {
        let (mut low, mut high) = (self.journal.oldest().0, self.head().seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle)? {
                Some(record) if record.at < at => low = middle + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// Writes a snapshot of what is published, and returns its record and its bytes. Takes a while;
    /// the writer goes on meanwhile.
    ///
    /// # Errors
    /// The log cannot be read or the snapshot cannot be written; the old snapshots are still there.
    pub fn take_snapshot(&self) -> Result<(u64, u64), JournalError> {
        let since = self.view.head().seq;
        let mut copied = Vec::with_capacity(self.view.known());
        self.view.for_each(|published, last_record| {
            copied.push(shared::domain::inventory::state::Entry {
                product: published.product.clone(),
                live: published.live,
                last_record,
            });
        });
        let cut = Cut::complete(copied, since, &*self.journal, self.keys)?;
        let mut bytes = 0;
        let mut parts = cut.parts().inspect(|part| bytes += part.len() as u64);
        self.journal.write_snapshot(cut.seq(), &mut parts)?;
        drop(parts);
        Ok((cut.seq(), bytes))
    }

    /// Shows what is durable, and then tells those who wait for it.
    fn publish(&self, publication: Publication, replies: Vec<Replies>) {
        publication.show(&self.view);
        let Publication {
            frame,
            decided: _,
            touched: _,
            generations,
            head,
        } = publication;
        if let Some((frame, spans)) = frame {
            self.ring.push(Chunk::new(&frame, spans), head);
        }
        if !generations.is_empty() {
            self.generations.write().extend(generations);
        }
        self.heralds.tell(head, replies);
    }
}

impl LedgerThreads {
    /// Takes no more commands, decides and answers what waits, and ends the threads.
    pub fn stop(self) {
        self.inbox.close();
        // A thread that panicked has nothing left to end.
        drop(self.writer.join());
        drop(self.flusher.join());
    }
}

fn spawn(
    name: &str,
    fatal: Arc<dyn Fn(&JournalError) + Send + Sync>,
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
                replies: self.published.heralds.no_replies(),
            })?;
            if self.done.recv().is_err() {
                return Err(JournalError::Poisoned);
            }
        }
        Ok(Open {
            draft,
            replies: self.published.heralds.no_replies(),
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
