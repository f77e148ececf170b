//! The settings of the payment provider and its breaker.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use shared::limits;
use shared::policy::BreakerSettings;
use shared::service::breakers::BreakerArgs;

/// Where Stripe is, if nothing else is said.
const STRIPE_URL: &str = "https://api.stripe.com";

/// The settings, as text.
#[derive(Clone, Debug, clap::Args)]
pub struct PaymentSettings {
    /// simulated, or stripe.
    #[arg(long, env = "PAYMENT_PROVIDER", default_value = "simulated")]
    pub payment_provider: String,
    /// Where the provider is; https, unless it is this machine. `https://api.stripe.com` if not given.
    #[arg(long, env = "PAYMENT_URL")]
    pub payment_url: Option<String>,
    /// The secret key at the provider.
    #[arg(long, env = "PAYMENT_KEY", hide_env_values = true)]
    pub payment_key: Option<SecretString>,
    /// Milliseconds after which a call to the provider counts as unanswered; at most 14000, since
    /// whoever places an order waits 15 seconds to be told of it.
    #[arg(long, env = "PAYMENT_TIMEOUT_MS", default_value_t = 5000)]
    pub payment_timeout_ms: u64,
    /// When the provider is not called.
    #[command(flatten)]
    pub breaker: BreakerArgs,
}

impl Default for PaymentSettings {
    fn default() -> Self {
        Self {
            payment_provider: "simulated".to_owned(),
            payment_url: None,
            payment_key: None,
            payment_timeout_ms: 5000,
            breaker: BreakerArgs::default(),
        }
    }
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// Who moves the money.
    pub provider: ProviderConfig,
    /// Time for one call.
    pub timeout: Duration,
    /// The breaker's numbers.
    pub breaker: BreakerSettings,
}

/// What holds where nothing is set.
impl Default for PaymentConfig {
    fn default() -> Self {
        Self {
            provider: ProviderConfig::Simulated,
            timeout: Duration::from_secs(5),
            breaker: BreakerSettings::default(),
        }
    }
}

/// Who moves the money. Does not show the key.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// Nobody: a play in this process.
    Simulated,
    /// Stripe.
    Stripe {
        /// Where it is.
        url: String,
        /// The secret key.
        key: SecretString,
    },
}

impl PaymentConfig {
    /// Checks every setting; `None` if one is at fault. A line for each fault is added to `faults`,
    /// naming its variable.
    pub(super) fn check(settings: PaymentSettings, faults: &mut Vec<String>) -> Option<Self> {
        let known = faults.len();
        let timeout = Duration::from_millis(settings.payment_timeout_ms);
        let most = limits::PAYMENT_TIMEOUT_MAX;
        if timeout < Duration::from_millis(10) || timeout > most {
            let (most, wait) = (most.as_millis(), limits::ORDER_WAIT.as_millis());
            faults.push(format!(
                "PAYMENT_TIMEOUT_MS: must be from 10 to {most}: a new order waits {wait} to be told of it"
            ));
        }
        let breaker = settings.breaker.check(timeout);
        if let Err(fault) = &breaker {
            faults.push(format!("BREAKER_*: {fault}"));
        }
        let provider = match settings.payment_provider.as_str() {
            "simulated" => Some(ProviderConfig::Simulated),
            "stripe" => stripe(settings.payment_url, settings.payment_key, faults),
            other => {
                faults.push(format!(
                    "PAYMENT_PROVIDER: {other:?} is not simulated or stripe"
                ));
                None
            }
        };
        let (provider, breaker) = (provider?, breaker.ok()?);
        (faults.len() == known).then_some(Self {
            provider,
            timeout,
            breaker,
        })
    }
}

fn stripe(
    url: Option<String>,
    key: Option<SecretString>,
    faults: &mut Vec<String>,
) -> Option<ProviderConfig> {
    let url = url.unwrap_or_else(|| STRIPE_URL.to_owned());
    let usable = usable(&url);
    if let Err(issue) = usable {
        faults.push(format!("PAYMENT_URL: {issue}"));
    }
    let key = key.filter(|key| !key.expose_secret().is_empty());
    let key = match key {
        Some(key) if key.expose_secret().bytes().all(|b| b.is_ascii_graphic()) => Some(key),
        Some(_) => {
            faults.push("PAYMENT_KEY: must be visible ASCII without spaces".to_owned());
            None
        }
        None => {
            faults.push("PAYMENT_KEY: is needed for PAYMENT_PROVIDER=stripe".to_owned());
            None
        }
    };
    Some(ProviderConfig::Stripe { url, key: key? })
}

/// The secret key goes there, so it must not go in clear over a network.
fn usable(url: &str) -> Result<(), &'static str> {
    let url: reqwest::Url = url.parse().map_err(|_| "is not an http(s) URL")?;
    let host = url.host_str().ok_or("is not an http(s) URL")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        "http" => Err("must be https, unless it is this machine"),
        _ => Err("is not an http(s) URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripe_with(url: Option<&str>, key: Option<&str>) -> Result<PaymentConfig, Vec<String>> {
        let mut faults = Vec::new();
        let settings = PaymentSettings {
            payment_provider: "stripe".to_owned(),
            payment_url: url.map(str::to_owned),
            payment_key: key.map(SecretString::from),
            ..PaymentSettings::default()
        };
        PaymentConfig::check(settings, &mut faults).ok_or(faults)
    }

    #[test]
    fn nothing_is_needed_for_the_simulated_provider() {
        let mut faults = Vec::new();
        let config = PaymentConfig::check(PaymentSettings::default(), &mut faults).unwrap();
        assert!(matches!(config.provider, ProviderConfig::Simulated));
        assert_eq!((config.timeout, faults), (Duration::from_secs(5), vec![]));
        assert_eq!(config.breaker.probe_timeout, Duration::from_secs(10));
    }

    #[test]
    fn stripe_needs_a_key_which_is_never_shown() {
        let faults = stripe_with(None, None).unwrap_err();
        assert!(faults[0].starts_with("PAYMENT_KEY"), "{faults:?}");
        let config = stripe_with(None, Some("sk_test_hidden")).unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        let faults = stripe_with(None, Some("sk hidden")).unwrap_err();
        assert!(!faults.concat().contains("hidden"), "{faults:?}");
    }

    #[test]
    fn a_key_does_not_travel_in_clear() {
        for (url, ok) in [
            ("https://api.stripe.com", true),
            ("http://127.0.0.1:4010", true),
            ("http://[::1]:4010/", true),
            ("http://localhost:4010", true),
            ("http://pay.example", false),
            ("http://localhost.example", false),
            ("ftp://127.0.0.1", false),
            ("pay.example", false),
            ("", false),
        ] {
            let checked = stripe_with(Some(url), Some("sk_test"));
            assert_eq!(checked.is_ok(), ok, "{url}: {checked:?}");
        }
    }

    #[test]
    fn a_call_ends_before_whoever_waits_for_it_gives_up() {
        let most = u64::try_from(limits::PAYMENT_TIMEOUT_MAX.as_millis()).unwrap();
        let wait = u64::try_from(limits::ORDER_WAIT.as_millis()).unwrap();
        for (millis, ok) in [
            (9, false),
            (10, true),
            (most, true),
            (most + 1, false),
            (wait, false),
            (120_000, false),
        ] {
            let mut faults = Vec::new();
            let settings = PaymentSettings {
                payment_timeout_ms: millis,
                ..PaymentSettings::default()
            };
            let checked = PaymentConfig::check(settings, &mut faults);
            assert_eq!(checked.is_some(), ok, "{millis}: {faults:?}");
            assert_eq!(faults.concat().contains("PAYMENT_TIMEOUT_MS"), !ok);
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let mut faults = Vec::new();
        let settings = PaymentSettings {
            payment_provider: "stripe".to_owned(),
            payment_url: Some("ftp://x".to_owned()),
            payment_key: None,
            payment_timeout_ms: 0,
            breaker: BreakerArgs {
                failure_percent: 0,
                ..BreakerArgs::default()
            },
        };
        assert!(PaymentConfig::check(settings, &mut faults).is_none());
        let text = faults.join("\n");
        for variable in [
            "PAYMENT_URL",
            "PAYMENT_KEY",
            "PAYMENT_TIMEOUT_MS",
            "BREAKER_",
        ] {
            assert!(text.contains(variable), "{variable} is missing in:\n{text}");
        }
    }
}
