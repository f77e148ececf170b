//! What is shown of the limits: seed 003's shape, and by policy and caller what it did not have.
//!
//! The words of this body are seed 003's own, in its own spelling; what is added has one word each, so
//! that one body has one spelling.

use std::collections::BTreeSet;

use governor::clock::Clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::{CLIENT_KINDS, Policy, RateLimits, Standing, Subject};
use crate::clock::Timestamp;
use crate::limits;

/// The limits, and who uses them up.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateLimitBody {
    /// Whether anything is limited.
    enabled: bool,
    /// Seed 003's word, always `ip`. Who presents a key is limited by principal all the same.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Reads of one principal in any minute, and as many writes.
    #[schema(minimum = 1)]
    requests_per_minute: u32,
    /// Administrative requests of one principal in any minute.
    #[schema(minimum = 1)]
    admin_requests_per_minute: u32,
    /// The time over which a limit is said.
    #[schema(minimum = 1)]
    window_minutes: u32,
    /// Addresses that have asked lately without a key, or with a wrong one.
    #[schema(minimum = 0)]
    active_ip_limits: usize,
    /// Each limit.
    policies: Vec<PolicyBody>,
    /// Who has asked lately, the one with the least left first; up to a hundred.
    callers: Vec<CallerBody>,
}

/// One limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyBody {
    /// `anonymous`, `unknown_key`, `read`, `write`, `admin` or `journal_drain`.
    policy: &'static str,
    /// Requests in any minute.
    #[schema(minimum = 1)]
    limit: u32,
    /// Who has asked lately.
    #[schema(minimum = 0)]
    active: usize,
    /// Requests that were refused since the start.
    #[schema(minimum = 0)]
    refused: u64,
}

/// Somebody who has asked lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallerBody {
    policy: &'static str,
    /// The owner of the key: a store, a key's name, or where a key stands in the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    principal: Option<String>,
    /// The address, where there is no key that is known; of IPv6 the first half.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ip: Option<String>,
    /// Requests that may come at once.
    #[schema(minimum = 0)]
    remaining: u32,
}

/// That everybody begins anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateLimitResetBody {
    message: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
}

impl RateLimitResetBody {
    /// As of `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            message: "Rate limits reset successfully",
            timestamp: now.to_string(),
        }
    }
}

impl<C: Clock> RateLimits<C> {
    /// How everything stands.
    #[must_use]
    pub fn report(&self) -> RateLimitBody {
        let mut addresses = BTreeSet::new();
        let mut callers = Vec::new();
        let policies = Policy::ALL.map(|policy| {
            let limit = &self.limited(policy).limit;
            let standings = limit.standings();
            let active = standings.len();
            for Standing { subject, remaining } in standings {
                if let Subject::Address(address) = &subject {
                    addresses.insert(*address);
                }
                callers.push((remaining, policy, subject));
            }
            let refused = CLIENT_KINDS.map(|kind| {
                let labels = [kind, policy.as_str()];
                self.refusals.with_label_values(&labels).get()
            });
            PolicyBody {
                policy: policy.as_str(),
                limit: limit.per_minute().get(),
                active,
                refused: refused.iter().sum(),
            }
        });
        callers.sort_unstable_by(|one, other| (one.0, &one.2).cmp(&(other.0, &other.2)));
        callers.truncate(limits::RATE_LIMIT_CALLERS_SHOWN);
        let caller = |(remaining, policy, subject): (u32, Policy, Subject)| {
            let (principal, ip) = match subject {
                Subject::Principal(principal) => (Some(principal.to_string()), None),
                Subject::Address(address) => (None, Some(address.to_string())),
            };
            CallerBody {
                policy: policy.as_str(),
                principal,
                ip,
                remaining,
            }
        };
        RateLimitBody {
            enabled: self.config.enabled,
            kind: "ip",
            requests_per_minute: self.config.requests_per_minute.get(),
            admin_requests_per_minute: self.config.admin_requests_per_minute.get(),
            window_minutes: 1,
            active_ip_limits: addresses.len(),
            policies: policies.into(),
            callers: callers.into_iter().map(caller).collect(),
        }
    }
}
