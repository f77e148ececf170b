//! The settings of the limits, which are the same at both services.

use std::num::NonZeroU32;

use clap::ArgAction;

use super::proxies::TrustedProxies;

/// Requests a minute of one principal, if nobody says otherwise.
const REQUESTS: u32 = 60_000;
/// Administrative requests likewise.
const ADMIN_REQUESTS: u32 = 600;
/// Most that either setting may say: as good as no limit, and far from where times overflow.
const MOST: u32 = 1_000_000_000;

/// The settings of the limits, to be flattened into a service's own.
#[derive(Clone, Debug, clap::Args)]
pub struct RateLimitArgs {
    /// false lets everybody ask as often as they like, and guess keys likewise.
    #[arg(
        long = "rate-limit-enabled",
        env = "RATE_LIMIT_ENABLED",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub enabled: bool,
    /// Reads of one principal in any minute, and as many writes. A tenth may come at once. An address
    /// may send a hundredth of it without a key, but 60 in any case, and a thousandth with keys that
    /// nobody has, but 10.
    #[arg(
        long = "rate-limit-requests-per-minute",
        env = "RATE_LIMIT_REQUESTS_PER_MINUTE",
        default_value_t = REQUESTS
    )]
    pub requests_per_minute: u32,
    /// Requests of one principal to /v1/admin/ in any minute.
    #[arg(
        long = "rate-limit-admin-requests-per-minute",
        env = "RATE_LIMIT_ADMIN_REQUESTS_PER_MINUTE",
        default_value_t = ADMIN_REQUESTS
    )]
    pub admin_requests_per_minute: u32,
    /// Proxies whose X-Forwarded-For is believed, comma-separated: addresses, or ranges such as
    /// 10.0.0.0/8.
    #[arg(long = "trusted-proxies", env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: String,
}

impl Default for RateLimitArgs {
    fn default() -> Self {
        Self {
            enabled: true,
            requests_per_minute: REQUESTS,
            admin_requests_per_minute: ADMIN_REQUESTS,
            trusted_proxies: String::new(),
        }
    }
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// Whether anything is limited.
    pub enabled: bool,
    /// Reads of one principal in any minute, and as many writes.
    pub requests_per_minute: NonZeroU32,
    /// Administrative requests likewise.
    pub admin_requests_per_minute: NonZeroU32,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
}

impl RateLimitArgs {
    /// Checks them, and adds a line to `faults` for each, naming its variable. What is answered is of use
    /// only if there is none.
    pub fn check(&self, faults: &mut Vec<String>) -> RateLimitConfig {
        let mut limit = |variable: &str, value: u32| {
            let limit = NonZeroU32::new(value).filter(|_| value <= MOST);
            if limit.is_none() {
                faults.push(format!("{variable}: must be from 1 to {MOST}"));
            }
            limit.unwrap_or(NonZeroU32::MIN)
        };
        let requests = limit("RATE_LIMIT_REQUESTS_PER_MINUTE", self.requests_per_minute);
        let admin = limit(
            "RATE_LIMIT_ADMIN_REQUESTS_PER_MINUTE",
            self.admin_requests_per_minute,
        );
        let proxies = TrustedProxies::parse(&self.trusted_proxies).unwrap_or_else(|found| {
            let found = found.into_iter();
            faults.extend(found.map(|fault| format!("{}: {}", fault.field, fault.issue)));
            TrustedProxies::default()
        });
        RateLimitConfig {
            enabled: self.enabled,
            requests_per_minute: requests,
            admin_requests_per_minute: admin,
            proxies,
        }
    }
}
