//! What the follower decides, without doing it: no socket, clock, file or randomness.
//!
//! ```text
//!   starting ──▶ catching_up ◀──▶ live
//!       │             ▲  │          │
//!       └──────▶ stale ◀─┴──────────┘
//! ```
//!
//! The shell asks [`Core::plan`] what to do, does it, and says what came of it. What must stay true,
//! whatever the answers: the position moves only by a run of events that continues it exactly, or by
//! a snapshot; nothing is asked twice with the same URL; no failure, refusal or instant answer can
//! make it ask faster than its backoff and its bucket allow. The simpler shape, one async loop that
//! does and decides, could not be tried against a million adversarial answers.
//!
//! Times are durations since any fixed start, as in `shared::policy`.

mod bucket;
#[cfg(test)]
mod tests;
mod types;

use std::time::Duration;

use shared::limits;

use self::bucket::{Bucket, INSTANT};
pub use self::types::{Answer, CoreSettings, Phase, Plan, Reason, Verdict};
use super::answer::{Page, Poll, check};
use super::position::{Gen, Position};

/// Answers in a row that are thrown away before a snapshot is loaded.
const FLAWS_MAX: u32 = 3;
/// Times in a row that the log is said to be another one before that is believed; the first may
/// come from a cache.
const DIVERGED_MAX: u32 = 2;
/// Times in a row that we are said to be ahead before that is believed: a relay that has just
/// started says so until it has caught up itself.
const AHEAD_MAX: u32 = 3;
/// Failures in a row from which on the copy counts as stale; one may be a broken connection.
const STALE_AFTER: u32 = 2;
/// Long polls in a row that fail, though plain ones work, before they are spaced out.
const BROKEN_WAITS: u32 = 2;
/// Times that a snapshot of a left generation is turned down. A cache gives way to being asked
/// past it; a log that insists is the log (a URL that was wrong for a while, put right).
const OLD_SNAPSHOTS_MAX: u32 = 3;

/// The follower's mind.
#[derive(Clone, Debug)]
pub struct Core {
    settings: CoreSettings,
    position: Option<Position>,
    phase: Phase,
    wanted: Option<Reason>,
    left_behind: Vec<Gen>,
    not_before: Duration,
    failures: u32,
    failed_waits: u32,
    flaws: u32,
    diverged: u32,
    ahead: u32,
    resyncs: u32,
    old_snapshots: u32,
    cursor: u64,
    last_asked: Option<Position>,
    bucket: Bucket,
    good_at: Option<Duration>,
    proven_at: Option<Duration>,
    head: Option<u64>,
    /// Whether the last answer left nothing to fetch from whoever is asked.
    at_head: bool,
}

impl Core {
    /// A follower of whose copy `position` is known.
    #[must_use]
    pub const fn new(settings: CoreSettings, position: Option<Position>, now: Duration) -> Self {
        Self {
            settings,
            position,
            phase: Phase::Starting,
            wanted: match position {
                None => Some(Reason::FirstSync),
                Some(_) => None,
            },
            left_behind: Vec::new(),
            not_before: now,
            failures: 0,
            failed_waits: 0,
            flaws: 0,
            diverged: 0,
            ahead: 0,
            resyncs: 0,
            old_snapshots: 0,
            cursor: 0,
            last_asked: None,
            bucket: Bucket::full(now),
            good_at: None,
            proven_at: None,
            head: None,
            at_head: false,
        }
    }

    /// How well the copy is known to be current.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Where the copy stands.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// When the copy was last proved to stand at the head.
    #[must_use]
    pub const fn proven_at(&self) -> Option<Duration> {
        self.proven_at
    }

    /// The head of the log as last heard, which lies at or ahead of the position.
    #[must_use]
    pub const fn head(&self) -> Option<u64> {
        self.head
    }

    /// Asks for a snapshot whatever the state, at once.
    pub fn want_snapshot(&mut self, reason: Reason, now: Duration) {
        self.wanted = Some(reason);
        self.not_before = now;
    }

    /// Ends a rest: something else has just been answered.
    pub fn wake(&mut self, now: Duration) {
        if self.wanted.is_none() {
            self.not_before = self.not_before.min(now);
        }
    }

    /// What to do now.
    pub fn plan(&mut self, now: Duration) -> Plan {
        if now < self.not_before {
            return Plan::Rest(self.not_before.saturating_sub(now));
        }
        let Some(position) = self.position else {
            return Plan::LoadSnapshot(self.wanted.unwrap_or(Reason::FirstSync));
        };
        if let Some(reason) = self.wanted {
            return Plan::LoadSnapshot(reason);
        }
        // After a long poll that failed the next question is a plain one, in case it is the
        // waiting that something on the way cannot bear.
        let waits = self.at_head && self.failures == 0;
        Plan::Poll(self.ask(position, waits, self.failures > 0))
    }

    /// The plain question for the side, while a long poll is under way.
    pub fn side_poll(&mut self) -> Option<Poll> {
        let position = self.position?;
        Some(self.ask(position, false, true))
    }

    /// When the next question on the side is due.
    #[must_use]
    pub fn side_poll_due(&self, asked_at: Duration) -> Duration {
        let since = self.good_at.map_or(asked_at, |at| at.max(asked_at));
        since.saturating_add(self.settings.check_every)
    }

    /// A question about `position`; `anew` if what was answered before is in doubt.
    fn ask(&mut self, position: Position, waits: bool, anew: bool) -> Poll {
        let repeated = self.last_asked == Some(position);
        self.last_asked = Some(position);
        let cursor = (waits || repeated || anew).then(|| {
            self.cursor = self.cursor.saturating_add(1);
            self.cursor
        });
        let (wait, give_up_after) = if waits {
            let wait = self.settings.wait;
            (wait, wait.saturating_add(self.settings.grace))
        } else {
            (Duration::ZERO, self.settings.plain_timeout)
        };
        Poll {
            r#gen: Some(position.r#gen),
            offset: position.offset,
            limit: self.settings.limit,
            wait,
            cursor,
            give_up_after,
        }
    }

    /// Judges the answer to `poll`, which was sent at `asked_at`. `random` is 64 random bits.
    pub fn judge(
        &mut self,
        poll: &Poll,
        asked_at: Duration,
        answer: &Answer,
        now: Duration,
        random: u64,
    ) -> Verdict {
        let asked = poll.r#gen.map(|generation| Position {
            r#gen: generation,
            offset: poll.offset,
        });
        if asked.is_none() || self.position != asked {
            return Verdict::Obsolete;
        }
        match answer {
            Answer::Failed { retry_after } => {
                if poll.wait > Duration::ZERO {
                    self.failed_waits = self.failed_waits.saturating_add(1);
                }
                self.failed(now, random, *retry_after);
                Verdict::Refused
            }
            Answer::Gone => self.refused(Reason::Gone, now, random),
            Answer::Diverged => self.refused(Reason::Diverged, now, random),
            Answer::Ahead => self.refused(Reason::Ahead, now, random),
            Answer::Page(page) => match check(poll, page, &self.left_behind) {
                Ok(()) => {
                    let instant = page.places.is_empty()
                        && poll.wait > INSTANT
                        && now.saturating_sub(asked_at) < INSTANT;
                    self.accepted(poll, page, instant, now, random);
                    Verdict::Apply
                }
                Err(flaw) => {
                    self.flawed(now, random);
                    Verdict::Discard(flaw)
                }
            },
        }
    }

    fn failed(&mut self, now: Duration, random: u64, retry_after: Option<Duration>) {
        let wait = self
            .settings
            .backoff
            .delay(self.failures, random, retry_after);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(wait);
        if self.failures >= STALE_AFTER {
            self.phase = Phase::Stale;
        }
    }

    fn refused(&mut self, reason: Reason, now: Duration, random: u64) -> Verdict {
        let (times, most) = match reason {
            Reason::Ahead => (&mut self.ahead, AHEAD_MAX),
            Reason::FirstSync
            | Reason::Diverged
            | Reason::Gone
            | Reason::BrokenAnswers
            | Reason::DigestMismatch
            | Reason::FilesDisagree
            | Reason::Forced => (&mut self.diverged, DIVERGED_MAX),
        };
        *times = times.saturating_add(1);
        let believed = *times >= most;
        self.phase = Phase::Stale;
        self.failures = self.failures.max(1);
        if believed {
            self.resync(reason, now, random);
        } else {
            self.not_before = now.saturating_add(self.settings.backoff.delay(0, random, None));
        }
        Verdict::Refused
    }

    fn flawed(&mut self, now: Duration, random: u64) {
        self.flaws = self.flaws.saturating_add(1);
        self.failed(now, random, None);
        if self.flaws >= FLAWS_MAX {
            self.resync(Reason::BrokenAnswers, now, random);
        }
    }

    /// Wants a snapshot; each one without a good answer since the last comes later.
    fn resync(&mut self, reason: Reason, now: Duration, random: u64) {
        let wait = match self.resyncs.checked_sub(1) {
            None => Duration::ZERO,
            Some(earlier) => self
                .settings
                .backoff
                .delay(earlier.saturating_add(3), random, None),
        };
        self.resyncs = self.resyncs.saturating_add(1);
        self.phase = Phase::Stale;
        self.wanted = Some(reason);
        self.not_before = now.saturating_add(wait);
    }

    fn accepted(&mut self, poll: &Poll, page: &Page, instant: bool, now: Duration, random: u64) {
        if let Some(old) = poll.r#gen.filter(|old| *old != page.r#gen) {
            self.leave(old, page.r#gen);
        }
        self.position = Some(Position {
            r#gen: page.r#gen,
            offset: page.next_offset,
        });
        self.failures = 0;
        self.flaws = 0;
        self.diverged = 0;
        self.ahead = 0;
        self.good_at = Some(now);
        self.not_before = now;
        self.head = Some(page.head.unwrap_or(page.next_offset).max(page.next_offset));
        self.cursor = self.cursor.max(page.cursor.unwrap_or(0));
        self.at_head = page.is_at_head();
        self.phase = match (self.at_head, page.age > limits::LIVE_AGE) {
            (true, false) => Phase::Live,
            (true, true) => Phase::Stale,
            (false, _) => Phase::CatchingUp,
        };
        if self.at_head {
            self.proven_at = Some(now.saturating_sub(page.age));
        }
        if poll.wait > Duration::ZERO {
            self.failed_waits = 0;
        } else if self.at_head && self.failed_waits >= BROKEN_WAITS {
            let retry = self.failed_waits.saturating_sub(BROKEN_WAITS);
            let wait = self.settings.backoff.delay(retry, random, None);
            self.not_before = now.saturating_add(wait.min(self.settings.check_every));
        }
        if instant {
            self.not_before = self.bucket.spend(now);
        }
    }

    /// Says that the events of an accepted answer are applied, and which digest the copy has now.
    pub fn applied(&mut self, page: &Page, digest: u64, now: Duration, random: u64) {
        match page.digest {
            Some(theirs) if page.up_to_date && theirs != digest => {
                self.proven_at = None;
                self.resync(Reason::DigestMismatch, now, random);
            }
            Some(_) | None => self.resyncs = 0,
        }
    }

    fn leave(&mut self, old: Gen, new: Gen) {
        self.left_behind.retain(|left| *left != new && *left != old);
        if self.left_behind.len() >= limits::GENERATIONS_LEFT {
            self.left_behind.remove(0);
        }
        self.left_behind.push(old);
    }

    /// Whether a snapshot of this generation is to be loaded.
    pub fn takes_snapshot_of(&mut self, offered: Gen) -> bool {
        if !self.left_behind.contains(&offered) {
            return true;
        }
        self.old_snapshots = self.old_snapshots.saturating_add(1);
        self.old_snapshots >= OLD_SNAPSHOTS_MAX
    }

    /// Says that a snapshot, and what was read behind it, is swapped in.
    pub fn resynced(&mut self, position: Position, head: u64, at_head: bool, now: Duration) {
        match self.position {
            Some(old) if old.r#gen != position.r#gen => self.leave(old.r#gen, position.r#gen),
            Some(_) | None => {}
        }
        self.position = Some(position);
        self.head = Some(head.max(position.offset));
        self.wanted = None;
        self.last_asked = None;
        self.failures = 0;
        self.flaws = 0;
        self.diverged = 0;
        self.ahead = 0;
        self.old_snapshots = 0;
        self.good_at = Some(now);
        self.not_before = now;
        self.at_head = at_head;
        self.phase = if at_head {
            self.proven_at = Some(now);
            Phase::Live
        } else {
            Phase::CatchingUp
        };
    }

    /// Says that a snapshot could not be loaded.
    pub fn resync_failed(&mut self, now: Duration, random: u64, retry_after: Option<Duration>) {
        // Somebody who asked was told that it failed; the copy itself is not in doubt.
        if self.wanted == Some(Reason::Forced) && self.position.is_some() {
            self.wanted = None;
        }
        self.failed(now, random, retry_after);
    }

    /// Whether a snapshot is wanted, and why.
    #[must_use]
    pub const fn wanted(&self) -> Option<Reason> {
        self.wanted
    }
}
