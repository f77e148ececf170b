//! The words in which the follower's mind and its shell speak.

use std::time::Duration;

use shared::policy::Backoff;

use crate::replica::answer::{Flaw, Page, Poll};

/// How well the copy is known to be current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was heard from central in this process.
    Starting,
    /// Central answers, and there is more to fetch.
    CatchingUp,
    /// The last answer proved that the copy stood at the head.
    Live,
    /// Nothing can be proved at the moment.
    Stale,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Starting, Self::CatchingUp, Self::Live, Self::Stale];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
            Self::Stale => "stale",
        }
    }
}

/// Why a snapshot is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no copy yet.
    FirstSync,
    /// Central says that our log is not its log.
    Diverged,
    /// Central no longer has the events after our position.
    Gone,
    /// Central says that we are ahead of it.
    Ahead,
    /// Answers keep failing the checks.
    BrokenAnswers,
    /// At the same offset central's catalogue is another one.
    DigestMismatch,
    /// The files and the live copy do not agree.
    FilesDisagree,
    /// Somebody asked for it.
    Forced,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::FirstSync,
        Self::Diverged,
        Self::Gone,
        Self::Ahead,
        Self::BrokenAnswers,
        Self::DigestMismatch,
        Self::FilesDisagree,
        Self::Forced,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstSync => "first_sync",
            Self::Diverged => "diverged",
            Self::Gone => "gone",
            Self::Ahead => "ahead",
            Self::BrokenAnswers => "broken_answers",
            Self::DigestMismatch => "digest_mismatch",
            Self::FilesDisagree => "files_disagree",
            Self::Forced => "forced",
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Ask the feed.
    Poll(Poll),
    /// Load a snapshot aside and swap it in.
    LoadSnapshot(Reason),
    /// Do nothing for so long.
    Rest(Duration),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200.
    Page(Page),
    /// 409 `log_diverged`.
    Diverged,
    /// 409 `offset_ahead`.
    Ahead,
    /// 410.
    Gone,
    /// Anything else, or nothing.
    Failed {
        /// What the other side asked for.
        retry_after: Option<Duration>,
    },
}

/// What to make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Apply its events, then call `Core::applied`.
    Apply,
    /// Throw it away.
    Discard(Flaw),
    /// It answers a question about a position that has passed.
    Obsolete,
    /// Nothing to apply; the plan has changed.
    Refused,
}

/// The numbers of a `Core`.
#[derive(Clone, Copy, Debug)]
pub struct CoreSettings {
    /// How long a long poll may wait.
    pub wait: Duration,
    /// Most events per answer.
    pub limit: usize,
    /// After how long without a good answer a plain poll goes out on the side.
    pub check_every: Duration,
    /// How long a plain poll may take, and how much longer than its wait a long one.
    pub plain_timeout: Duration,
    /// See `plain_timeout`.
    pub grace: Duration,
    /// Waits after failures.
    pub backoff: Backoff,
}
