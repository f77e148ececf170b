//! The follower: carries out what [`Core`] plans.
//!
//! One task. It asks, applies what is judged good, hands it to the [`Keeper`], and tells everybody
//! through [`Live`] and [`Status`]. While a long poll is under way it also listens for a wish for a
//! full sync, for the end, and for the time to ask plainly on the side.
//!
//! What must stay true: only this task moves the live copy; the order is always memory, then
//! journal, so the files never lead.

mod handle;

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::handle::ForceReply;
pub use self::handle::{FollowerHandle, ForceFault};
use super::answer::Poll;
use super::files::Install;
use super::follower_core::{Answer, Core, CoreSettings, Plan, Reason, Verdict};
use super::freshness::Proof;
use super::keeper::Keeper;
use super::live::Live;
use super::position::Position;
use super::resync::{Fresh, receive};
use super::status::Status;
use super::trouble::Trouble;
use crate::central::contact::ContactNote;
use crate::central::{Central, FeedReply};

/// What the follower works with.
#[derive(Debug)]
pub struct Parts {
    /// Who is followed.
    pub central: Arc<dyn Central>,
    /// What readers see.
    pub live: Arc<Live>,
    /// What is on disk.
    pub keeper: Keeper,
    /// What people are told.
    pub status: Arc<Status>,
    /// Whether central answers.
    pub contact: Arc<ContactNote>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Told by the keeper when it wants something.
    pub keeper_wants: Arc<Notify>,
}

/// The follower.
#[derive(Debug)]
pub struct Follower {
    parts: Parts,
    core: Core,
    settings: CoreSettings,
    started: Instant,
    wishes: mpsc::Receiver<ForceReply>,
    nudge: Arc<Notify>,
    /// Who waits for the full sync that is to be done.
    waiting: Vec<ForceReply>,
    trouble: Trouble,
    /// Why the last full sync was tried, if it failed.
    failed_sync: Option<Reason>,
    shutdown: CancellationToken,
}

/// How a question ended.
enum Ended {
    /// With an answer.
    Answered(FeedReply),
    /// It is no longer of interest.
    Dropped,
}

impl Follower {
    /// A follower that continues the live copy, and the handle to it.
    #[must_use]
    pub fn new(
        parts: Parts,
        settings: CoreSettings,
        shutdown: CancellationToken,
    ) -> (Self, FollowerHandle) {
        let (wishes_in, wishes) = mpsc::channel(8);
        let nudge = Arc::new(Notify::new());
        let handle = FollowerHandle::new(wishes_in, Arc::clone(&nudge));
        let position = parts.live.tip().map(|tip| tip.position);
        let follower = Self {
            core: Core::new(settings, position, Duration::ZERO),
            parts,
            settings,
            started: Instant::now(),
            wishes,
            nudge,
            waiting: Vec::new(),
            trouble: Trouble::default(),
            failed_sync: None,
            shutdown,
        };
        (follower, handle)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Follows until the end.
    pub async fn run(mut self) {
        while !self.shutdown.is_cancelled() {
            self.look_after_files().await;
            match self.core.plan(self.now()) {
                Plan::Rest(rest) => self.rest(rest).await,
                Plan::Poll(poll) => self.ask(poll).await,
                Plan::LoadSnapshot(reason) => self.resync(reason).await,
            }
            self.tell();
        }
    }

    async fn rest(&mut self, rest: Duration) {
        let has_copy = self.core.position().is_some();
        tokio::select! {
            () = sleep(rest) => {}
            () = self.nudge.notified(), if has_copy => self.core.wake(self.now()),
            Some(wish) = self.wishes.recv() => self.wish(wish),
            () = self.shutdown.cancelled() => {}
        }
    }

    fn wish(&mut self, wish: ForceReply) {
        self.waiting.push(wish);
        self.core.want_snapshot(Reason::Forced, self.now());
    }

    async fn ask(&mut self, poll: Poll) {
        let asked_at = self.now();
        match self.wait_for(&poll, asked_at).await {
            Ended::Answered(reply) => self.take(&poll, asked_at, reply).await,
            Ended::Dropped => {}
        }
    }

    /// Waits for the answer to `poll`, asking on the side when it takes long.
    async fn wait_for(&mut self, poll: &Poll, asked_at: Duration) -> Ended {
        let central = Arc::clone(&self.parts.central);
        let mut answer = central.poll(poll);
        let mut side_due = self.core.side_poll_due(asked_at);
        loop {
            tokio::select! {
                reply = &mut answer => return Ended::Answered(reply),
                () = sleep_until(self.started + side_due), if !poll.wait.is_zero() => {
                    let before = self.core.position();
                    self.ask_aside().await;
                    self.tell();
                    if self.core.position() != before || self.core.wanted().is_some() {
                        return Ended::Dropped;
                    }
                    side_due = self.now().saturating_add(self.settings.check_every);
                }
                Some(wish) = self.wishes.recv() => {
                    self.wish(wish);
                    return Ended::Dropped;
                }
                // Somebody waits for an event that he knows of, and this poll does not bring it.
                () = self.nudge.notified(), if !poll.wait.is_zero() => {
                    let before = self.core.position();
                    self.ask_aside().await;
                    self.tell();
                    if self.core.position() != before || self.core.wanted().is_some() {
                        return Ended::Dropped;
                    }
                }
                () = self.parts.keeper_wants.notified() => {
                    self.look_after_files().await;
                    if self.core.wanted().is_some() {
                        return Ended::Dropped;
                    }
                }
                () = self.shutdown.cancelled() => return Ended::Dropped,
            }
        }
    }

    async fn ask_aside(&mut self) {
        let Some(poll) = self.core.side_poll() else {
            return;
        };
        let asked_at = self.now();
        let central = Arc::clone(&self.parts.central);
        let reply = central.poll(&poll).await;
        self.take(&poll, asked_at, reply).await;
    }

    /// Judges an answer and does what follows.
    async fn take(&mut self, poll: &Poll, asked_at: Duration, reply: FeedReply) {
        let (answer, events) = match reply {
            FeedReply::Page(page, events) => (Answer::Page(page), events),
            FeedReply::Diverged => (Answer::Diverged, Vec::new()),
            FeedReply::Ahead => (Answer::Ahead, Vec::new()),
            FeedReply::Gone => (Answer::Gone, Vec::new()),
            FeedReply::Failed(fault) => {
                self.parts.contact.failed(&fault.what);
                self.note_fault(&fault.what);
                let retry_after = fault.retry_after;
                (Answer::Failed { retry_after }, Vec::new())
            }
        };
        if !matches!(answer, Answer::Failed { .. }) {
            self.parts.contact.answered(self.parts.clock.now());
        }
        let verdict = self
            .core
            .judge(poll, asked_at, &answer, self.now(), rand::random());
        match (verdict, answer) {
            (Verdict::Apply, Answer::Page(page)) => {
                let moved = !events.is_empty() || Some(page.r#gen) != poll.r#gen;
                let tip = if moved {
                    let tip = self.parts.live.apply(page.r#gen, &events);
                    let decided = events.iter().map(|incoming| incoming.event.timestamp);
                    let now = self.parts.clock.now();
                    self.parts.status.metrics().applied(decided, now);
                    let bytes = events.iter().map(|incoming| incoming.bytes.clone());
                    self.parts
                        .keeper
                        .append(page.r#gen, bytes.collect(), tip)
                        .await;
                    Some(tip)
                } else {
                    self.parts.live.tip()
                };
                let digest = tip.map_or(0, |tip| tip.summary.digest);
                self.core.applied(&page, digest, self.now(), rand::random());
                self.parts
                    .status
                    .good(events.len() as u64, self.parts.clock.now());
                if self.core.wanted() == Some(Reason::DigestMismatch) {
                    self.note_fault("at the same offset central's catalogue is another one");
                } else {
                    self.note_recovery();
                }
            }
            (Verdict::Discard(flaw), _) => {
                self.note_fault(&format!("an answer was discarded: {flaw}"));
            }
            (Verdict::Refused, Answer::Diverged) => {
                self.note_fault("central says that the log is another one");
            }
            (Verdict::Refused, Answer::Gone) => {
                self.note_fault("central no longer has the events after our offset");
            }
            (Verdict::Refused, Answer::Ahead) => {
                self.note_fault("central says that we are ahead of it");
            }
            (Verdict::Refused | Verdict::Obsolete | Verdict::Apply, _) => {}
        }
    }

    /// Tells people that an attempt failed: the status each time, the log when it is news.
    fn note_fault(&mut self, what: &str) {
        self.parts.status.failed(what);
        let offset = self.core.position().map(|position| position.offset);
        if self.trouble.failed(what, self.now()) {
            tracing::warn!(
                fault = what,
                offset,
                "the copy cannot be kept current; trying on"
            );
        } else {
            tracing::debug!(fault = what, offset, "the copy cannot be kept current");
        }
    }

    fn note_recovery(&mut self) {
        if let Some(over) = self.trouble.ended(self.now()) {
            tracing::info!(
                fault = over.what,
                attempts = over.attempts,
                lasted_ms = over.lasted.as_millis(),
                "central is followed again"
            );
        }
    }

    async fn resync(&mut self, reason: Reason) {
        if self.failed_sync == Some(reason) {
            tracing::debug!(reason = reason.as_str(), "a full sync begins again");
        } else {
            tracing::info!(reason = reason.as_str(), "a full sync begins");
        }
        self.parts.status.sync_began();
        let begun = Instant::now();
        let result = {
            let goal = self.core.position();
            let limits = (self.settings.limit, self.settings.plain_timeout);
            let core = &mut self.core;
            let receiving = receive(
                &*self.parts.central,
                &self.parts.keeper,
                |offered| core.takes_snapshot_of(offered),
                goal,
                limits,
            );
            tokio::select! {
                result = receiving => result,
                () = self.shutdown.cancelled() => return,
            }
        };
        match result {
            Ok(fresh) => {
                self.parts.contact.answered(self.parts.clock.now());
                self.install(fresh).await;
                self.parts
                    .status
                    .sync_ended(begun.elapsed(), self.parts.clock.now());
                self.parts.status.metrics().synced_fully(reason);
                self.failed_sync = None;
                for waiting in self.waiting.drain(..) {
                    waiting.send(Ok(())).ok();
                }
                tracing::info!(
                    products = self.parts.live.tip().map_or(0, |tip| tip.summary.count),
                    took_ms = begun.elapsed().as_millis(),
                    reason = reason.as_str(),
                    "the full sync is done"
                );
                self.note_recovery();
            }
            Err(fault) => {
                self.parts.contact.failed(&fault.what);
                self.parts.status.sync_failed();
                self.note_fault(&format!("a full sync failed: {fault}"));
                self.failed_sync = Some(reason);
                self.core
                    .resync_failed(self.now(), rand::random(), fault.retry_after);
                for waiting in self.waiting.drain(..) {
                    waiting.send(Err(ForceFault(fault.clone()))).ok();
                }
            }
        }
    }

    /// Puts a fresh copy in the place of the old one: files first, so that what readers have seen
    /// is not newer than what a restart finds by more than a journal's tail.
    async fn install(&mut self, fresh: Fresh) {
        let Fresh {
            catalogue,
            position,
            head,
            at_head,
            recent,
            runs,
            generations,
            snapshot,
        } = fresh;
        let digest = catalogue.head().digest;
        let summary = super::files::Summary {
            count: catalogue.len() as u64,
            digest,
        };
        self.parts.live.begin_swap();
        match snapshot {
            Some(snapshot) => {
                let install = Install { snapshot, runs };
                // A failure is noted by the keeper; the copy is then in memory only.
                drop(self.parts.keeper.install(install, position, summary).await);
            }
            None => self.parts.keeper.mark_broken().await,
        }
        self.parts
            .live
            .swap(catalogue, position, &recent, generations);
        self.core.resynced(position, head, at_head, self.now());
    }

    /// Does what the keeper wants.
    async fn look_after_files(&mut self) {
        let status = Arc::clone(self.parts.keeper.status());
        if status.take_disagreed() {
            self.core.want_snapshot(Reason::FilesDisagree, self.now());
        }
        if status.wants_rewrite()
            && let (Some(shown), Some(tip)) = (self.parts.live.shown(), self.parts.live.tip())
        {
            let collect = tokio::task::spawn_blocking(move || shown.catalogue.collect());
            // Only this task publishes, so the catalogue stands still meanwhile.
            if let Ok(products) = collect.await {
                self.parts.keeper.rewrite(products, tip).await;
            }
        }
    }

    /// Tells everybody how things stand.
    fn tell(&self) {
        let proof = self.core.proven_at().map(|at| Proof::At(self.started + at));
        let lag = match (self.core.head(), self.core.position()) {
            (Some(head), Some(Position { offset, .. })) => Some(head.saturating_sub(offset)),
            (None, _) | (_, None) => None,
        };
        self.parts
            .status
            .follows(self.core.phase(), proof, self.core.head(), lag);
    }
}
