//! Limits on how often somebody may ask.
//!
//! ```text
//! request ─▶ who asks? ─▶ which policy? ─▶ one Limit per policy ─▶ 429, before the body is read
//!               │                                   │
//!        key: principal                     Subjects: one time each,
//!        else: address (proxies)            bounded, in parts
//! ```
//!
//! | policy | counts | of | a minute |
//! |---|---|---|---|
//! | `read` | questions | a principal | the setting |
//! | `write` | the rest | a principal | the setting |
//! | `admin` | whatever is below `/v1/admin/` | a principal | a setting of its own |
//! | `journal_drain` | what keeps stores alive: feeds, snapshots, heartbeats, journals | a principal | ten times the setting, at least 600 000 |
//! | `anonymous` | requests without a key | an address | a hundredth, at least 60 |
//! | `unknown_key` | requests with a key that nobody has | an address | a thousandth, at least 10 |
//!
//! Each counts for itself, so that a shop which has sold too fast still hears what is in stock, and a
//! dashboard that asks too often keeps nobody from selling. Health is never limited.
//!
//! Guessing keys: once an address has used up `unknown_key`, a short key from it is not even looked up,
//! or an answer would tell a right guess from a wrong one. A long key is looked up still
//! ([`UNGUESSABLE_KEY_BYTES`]): nobody guesses those, and a shop must go on selling though something
//! else behind the same address has a wrong key.
//!
//! What must stay true: who is refused costs a look-up and no body; an answer says by which limit; no
//! key is logged or shown; `X-Forwarded-For` is believed from proxies of ours only ([`proxies`]).
//!
//! Left out: limits that several processes share. Each counts what it is asked itself.

mod layer;
mod limit;
mod proxies;
mod report;
mod settings;
mod subjects;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use governor::clock::{Clock, MonotonicClock};
use http::Method;
use prometheus::IntCounterVec;
use tokio::time::Instant;

use super::auth::{Authenticate, Authenticated, presented_key};
use super::metrics::counters;
use super::request_context::RequestContext;
use crate::limits;
use crate::wire::problem::ProblemCode;

pub use layer::{RateLimitLayer, RateLimitService};
pub use limit::{Limit, Standing, Verdict};
pub use proxies::TrustedProxies;
pub use report::{CallerBody, PolicyBody, RateLimitBody, RateLimitResetBody};
pub use settings::{RateLimitArgs, RateLimitConfig};
pub use subjects::Subject;

/// Characters from which on a key cannot be guessed: 128 random bits in hex.
const UNGUESSABLE_KEY_BYTES: usize = 32;
/// Least limit of what keeps stores alive, whatever the setting. A follower asks again as soon as it is
/// answered; that is the most that several behind one key come to.
const DRAIN_LEAST: u32 = 600_000;
/// Least limit of who has no key: a page and what it loads, every few seconds.
const ANONYMOUS_LEAST: u32 = 60;
/// Least limit of who has a wrong key: somebody mistypes.
const UNKNOWN_KEY_LEAST: u32 = 10;
/// Seconds between two lines of the log about one policy.
const TELL_EVERY: u64 = 10;

/// Which limit a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Without a key.
    Anonymous,
    /// With a key that nobody has.
    UnknownKey,
    /// Questions.
    Read,
    /// Whatever is no question.
    Write,
    /// What is below `/v1/admin/`.
    Admin,
    /// What keeps stores alive.
    JournalDrain,
}

impl Policy {
    /// Every policy, in the order of their limits.
    pub const ALL: [Self; 6] = [
        Self::Anonymous,
        Self::UnknownKey,
        Self::Read,
        Self::Write,
        Self::Admin,
        Self::JournalDrain,
    ];

    /// As it is called in headers, bodies, metrics and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::UnknownKey => "unknown_key",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::JournalDrain => "journal_drain",
        }
    }

    /// What a call of somebody known counts as.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        let Some(call) = path.strip_prefix("/v1/") else {
            return Self::Read;
        };
        if call.starts_with("admin/") {
            return Self::Admin;
        }
        let feed = ["inventory/events", "orders/events", "inventory/snapshot"];
        let report = ["/heartbeat", "/journal"];
        let of_a_store = call.starts_with("stores/") && report.iter().any(|it| call.ends_with(it));
        if of_a_store || feed.contains(&call) || call.starts_with("inventory/snapshots/") {
            return Self::JournalDrain;
        }
        let asks = method == Method::GET || method == Method::HEAD || call == "inventory/check";
        if asks { Self::Read } else { Self::Write }
    }

    /// Requests a minute, by the settings.
    fn per_minute(self, config: &RateLimitConfig) -> NonZeroU32 {
        let requests = config.requests_per_minute;
        let part = |of: u32, least: u32| {
            let part = (requests.get() / of).max(least).min(requests.get());
            NonZeroU32::new(part).unwrap_or(requests)
        };
        match self {
            Self::Anonymous => part(100, ANONYMOUS_LEAST),
            Self::UnknownKey => part(1_000, UNKNOWN_KEY_LEAST),
            Self::Read | Self::Write => requests,
            Self::Admin => config.admin_requests_per_minute,
            Self::JournalDrain => {
                let ten = requests.saturating_mul(NonZeroU32::MIN.saturating_add(9));
                NonZeroU32::new(DRAIN_LEAST).map_or(ten, |least| ten.max(least))
            }
        }
    }
}

/// Whether one can ask for `path` too often: not for health.
#[must_use]
pub fn is_limited(path: &str) -> bool {
    path != "/health" && !path.starts_with("/health/")
}

/// From where somebody asks, as a label.
fn client_kind(address: IpAddr) -> &'static str {
    match address {
        address if address.is_loopback() => "localhost",
        IpAddr::V4(address) if address.is_private() || address.is_link_local() => "internal",
        IpAddr::V6(address) if address.is_unique_local() || address.is_unicast_link_local() => {
            "internal"
        }
        IpAddr::V4(_) | IpAddr::V6(_) => "external",
    }
}
const CLIENT_KINDS: [&str; 3] = ["internal", "external", "localhost"];

/// What is said of one request: by which limit, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    policy: Policy,
    verdict: Verdict,
}

/// All limits of a service.
#[derive(Debug)]
pub struct RateLimits<C: Clock = MonotonicClock> {
    config: RateLimitConfig,
    /// In the order of [`Policy::ALL`].
    limits: [Limited<C>; Policy::ALL.len()],
    refusals: IntCounterVec,
    began: Instant,
}

/// The limit of one policy.
#[derive(Debug)]
struct Limited<C: Clock> {
    limit: Limit<C>,
    headers: layer::Fixed,
    /// Second from which on the log is told of a refusal again.
    tell_from: AtomicU64,
}

impl RateLimits {
    /// The limits that `config` says.
    #[must_use]
    pub fn new(config: RateLimitConfig) -> Self {
        Self::by(config, &MonotonicClock)
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    /// The same, by `clock`.
    fn by(config: RateLimitConfig, clock: &C) -> Self {
        let limited = |policy: Policy| {
            let per_minute = policy.per_minute(&config);
            let most = limits::RATE_LIMIT_SUBJECTS;
            Limited {
                limit: Limit::new(per_minute, most, clock.clone()),
                headers: layer::Fixed::of(policy, per_minute),
                tell_from: AtomicU64::new(0),
            }
        };
        let known = Policy::ALL.map(|policy| CLIENT_KINDS.map(|kind| [kind, policy.as_str()]));
        let known: Vec<&[&str]> = known.iter().flatten().map(<[_; 2]>::as_slice).collect();
        Self {
            limits: Policy::ALL.map(limited),
            refusals: counters(
                "holdfast_rate_limit_refusals_total",
                "Requests that were refused because there were too many, by where they came from and by which limit.",
                &["client", "policy"],
                &known,
            ),
            began: Instant::now(),
            config,
        }
    }
}

impl<C: Clock> RateLimits<C> {
    /// Whether anything is limited.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// The counter of refusals, to be registered.
    #[must_use]
    pub const fn refusals(&self) -> &IntCounterVec {
        &self.refusals
    }

    /// Forgets who has asked how much.
    pub fn reset(&self) {
        for limited in &self.limits {
            limited.limit.reset();
        }
    }

    fn limited(&self, policy: Policy) -> &Limited<C> {
        let [anonymous, unknown_key, read, write, admin, journal_drain] = &self.limits;
        match policy {
            Policy::Anonymous => anonymous,
            Policy::UnknownKey => unknown_key,
            Policy::Read => read,
            Policy::Write => write,
            Policy::Admin => admin,
            Policy::JournalDrain => journal_drain,
        }
    }

    /// Counts `request`; none if it is never limited. Puts into it who sent it, if that is known.
    fn count(&self, request: &mut Request, auth: &impl Authenticate) -> Option<Counted> {
        if !is_limited(request.uri().path()) {
            return None;
        }
        let presented = match presented_key(request.headers()) {
            Ok(key) => Some(key.len()),
            Err(problem) if problem.code == ProblemCode::Unauthorized => None,
            // Different keys: one of them is wrong.
            Err(_) => return Some(self.unknown_key(request)),
        };
        let Some(length) = presented else {
            let address = self.address(request);
            return Some(self.count_for(Policy::Anonymous, &Subject::at(address), request));
        };
        if length < UNGUESSABLE_KEY_BYTES {
            let subject = Subject::at(self.address(request));
            let policy = Policy::UnknownKey;
            let limited = self.limited(policy);
            if let Some(verdict) = limited.limit.would_refuse(&subject) {
                self.refused(policy, &subject, request);
                return Some(Counted { policy, verdict });
            }
        }
        let Ok(caller) = auth.authenticate(request.headers()) else {
            return Some(self.unknown_key(request));
        };
        let policy = Policy::of(request.method(), request.uri().path());
        let counted = self.count_for(policy, caller.subject(), request);
        request.extensions_mut().insert(Authenticated(caller));
        Some(counted)
    }

    /// Counts a request whose key nobody has, and says so in the log, as often as the limit lets it.
    fn unknown_key(&self, request: &Request) -> Counted {
        let client = self.address(request);
        let counted = self.count_for(Policy::UnknownKey, &Subject::at(client), request);
        if !counted.verdict.is_refused {
            let context = request.extensions().get::<RequestContext>();
            let request_id = context.map(RequestContext::request_id_str);
            tracing::warn!(%client, request_id, "a key was presented that opens nothing");
        }
        counted
    }

    fn count_for(&self, policy: Policy, subject: &Subject, request: &Request) -> Counted {
        let verdict = self.limited(policy).limit.count(subject);
        if verdict.is_refused {
            self.refused(policy, subject, request);
        }
        Counted { policy, verdict }
    }

    /// Counts a refusal, and tells the log of it unless it was told just now.
    fn refused(&self, policy: Policy, subject: &Subject, request: &Request) {
        let client = self.address(request);
        let labels = [client_kind(client), policy.as_str()];
        self.refusals.with_label_values(&labels).inc();
        let now = self.began.elapsed().as_secs();
        let tell_from = &self.limited(policy).tell_from;
        let due = |from: u64| (from <= now).then_some(now + TELL_EVERY);
        let told = tell_from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due);
        if told.is_ok() {
            let policy = policy.as_str();
            tracing::warn!(policy, %client, ?subject, "too many requests; refusing some");
        }
    }

    /// From where `request` comes.
    fn address(&self, request: &Request) -> IpAddr {
        let context = request.extensions().get::<RequestContext>();
        let peer = context.and_then(RequestContext::peer);
        // Who has no address, as in a test without a connection, shares one.
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        self.config.proxies.asker(peer, request.headers())
    }
}

/// Whole seconds that are no less than `time`.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
