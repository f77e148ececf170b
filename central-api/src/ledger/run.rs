//! The running ledger, as the rest of the program holds it: commands in, answers out.
//!
//! Starting begins a new life of the log, makes it durable, and only then lets anything be seen or
//! taken. A command is queued for the writer and its answer awaited; where the writer says that the
//! key was decided before, the decision is read back from its record, so that a repeat gets the very
//! answer and not one made up anew.
//!
//! What must stay true: whoever is answered is answered from something durable, and whoever is not
//! learns whether anything can have happened ([`SubmitError`]). The threads are in `pipeline`, what
//! readers see is in [`published`](super::published).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shared::causes::chain;
use shared::clock::{Clock, Timestamp};
use shared::limits;
use shared::view::Catalogue;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::fold::Fold;
use super::inbox::{Inbox, Refused, Reply, Submission};
use super::keys::KeyRetention;
use super::pipeline;
use super::publication::Decided;
use super::published::Published;
use super::writer::{Answer, Request, Writer};
use crate::journal::{Body, Journal, JournalError, LogGen, Record};

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
    clock: Arc<dyn Clock>,
    /// Whether the disk is so full that nothing new is taken.
    is_full: Arc<AtomicBool>,
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
        // It is in the fold, which goes into the view as it stands.
        drop(foreign);
        let published = Arc::new(Published::new(
            writer.fold(),
            writer.head(),
            journal.reader(),
            options.keys,
            &options.homes,
        ));
        let inbox = Arc::new(Inbox::new(limits::WRITER_QUEUE));
        let clock = Arc::clone(&options.clock);
        let foreign_commits = Arc::clone(&inbox);
        published
            .journal
            .on_commit(Arc::new(move || foreign_commits.nudge()));
        let (writer, flusher) = pipeline::start(pipeline::Parts {
            journal,
            writer,
            inbox: Arc::clone(&inbox),
            clock: options.clock,
            published: Arc::clone(&published),
            fatal: Arc::from(options.fatal),
        });
        let threads = LedgerThreads {
            inbox: Arc::clone(&inbox),
            writer,
            flusher,
        };
        let ledger = Self {
            inbox,
            published,
            clock,
            is_full: Arc::default(),
        };
        Ok((ledger, threads))
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

    /// The time by the clock that decisions are made by, so that a reader's judgement of what has run
    /// out is the writer's.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Commands that wait for the writer.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.inbox.depth()
    }

    /// How long the oldest command has waited for the writer, or the writer has been at one frame.
    #[must_use]
    pub fn held_up(&self) -> Duration {
        self.inbox.held_up()
    }

    /// Looks how much room the log has, and takes nothing new as long as there is too little. Answers
    /// whether that has changed, and to what. Blocking.
    pub fn look_for_room(&self) -> Option<bool> {
        let free = match self.published.journal.free_bytes() {
            Ok(free) => free,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "how much room there is is not known");
                return None;
            }
        };
        let is_full = free < limits::DISK_RESERVE;
        let was_full = self.is_full.swap(is_full, Ordering::Relaxed);
        (is_full != was_full).then_some(is_full)
    }

    /// Whether the disk is so full that nothing new is taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Has commands decided one after the other, with nothing between them.
    ///
    /// # Errors
    /// [`SubmitError`], which says whether anything can have happened.
    pub async fn submit(&self, requests: Vec<Request>) -> Result<Reply, SubmitError> {
        if self.is_full() {
            return Err(Refused::NoRoom.into());
        }
        self.queue(requests).await
    }

    async fn queue(&self, requests: Vec<Request>) -> Result<Reply, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let lane = self.published.lane_here();
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
        let reply = self.submit(vec![request]).await?;
        self.outcome_of(reply).await
    }

    /// The same for what comes of something that was begun: there is room for that when there is none
    /// for anything new.
    ///
    /// # Errors
    /// As [`Ledger::decide`].
    pub async fn decide_what_was_begun(&self, request: Request) -> Result<Outcome, SubmitError> {
        let reply = self.queue(vec![request]).await?;
        self.outcome_of(reply).await
    }

    async fn outcome_of(&self, reply: Reply) -> Result<Outcome, SubmitError> {
        let Reply { requests, answers } = reply;
        match (requests.first(), answers.into_iter().next()) {
            (Some(request), Some(answer)) => self.outcome(answer, &request.origin).await,
            _ => Err(SubmitError::Unknown),
        }
    }

    /// Turns an answer into an outcome, reading an earlier decision back if need be. `origin` is
    /// that of the request, whose principal and key must be those of the record.
    ///
    /// # Errors
    /// [`SubmitError::Unknown`] if the record cannot be read now.
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
        let read = self.published.read_old(move |log| log.record(seq)).await;
        let record = read.map_err(|error| {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(seq, error, "a decision cannot be read back for its repeat");
            SubmitError::Unknown
        })?;
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
                    first: record.first,
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

impl LedgerThreads {
    /// Takes no more commands, decides and answers what waits, and ends the threads.
    pub fn stop(self) {
        self.inbox.close();
        // A thread that panicked has nothing left to end.
        drop(self.writer.join());
        drop(self.flusher.join());
    }
}
