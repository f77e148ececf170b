//! The settings: one typed value, read once, and the only reader of the environment.
//!
//! `store-api --help` documents every variable. All faults are reported together, before anything
//! is opened.
//!
//! Longer than most files: a setting, its default and what is wrong with it stand together.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use reqwest::Certificate;
use secrecy::{ExposeSecret, SecretString};
use shared::domain::ids::StoreId;
use shared::limits;
use shared::policy::{Backoff, BackoffSettings, BreakerSettings};
use shared::service::auth::ApiKeys;
use shared::service::breakers::BreakerArgs;
use shared::service::cors::Origins;
use shared::service::rate_limit::{RateLimitArgs, RateLimitConfig};
use shared::service::tls::{Tls, TlsArgs};
use shared::service::traces::{TracesArgs, TracesConfig};

use crate::central::facts::is_currency;

/// The shop's own inventory service.
#[derive(Debug, Parser)]
#[command(name = "store-api", version, about)]
pub struct Cli {
    /// The settings of the service.
    #[command(flatten)]
    pub settings: Settings,
}

/// The settings, as text.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// This store's id, as central knows it.
    #[arg(long, env = "STORE_ID", default_value = "store-s1")]
    pub store_id: String,
    /// What people call it; the id if not given.
    #[arg(long, env = "STORE_NAME")]
    pub store_name: Option<String>,
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one, which the log names.
    #[arg(long, env = "PORT", default_value_t = 8083)]
    pub port: u16,
    /// Port of GET /metrics, for Prometheus, without a key; 0 takes a free one, which the log names.
    #[arg(long, env = "METRICS_PORT", default_value_t = 9083)]
    pub metrics_port: u16,
    /// Folder of the cache, one process at a time; `data/<storeId>` if not given.
    #[arg(long, env = "DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keys, comma-separated: `key@storeId`, `key`, `key:read`.
    #[arg(long, env = "API_KEYS", default_value = "", hide_env_values = true)]
    pub api_keys: String,
    /// Keys that may do everything, comma-separated.
    #[arg(
        long,
        env = "ADMIN_API_KEYS",
        default_value = "",
        hide_env_values = true
    )]
    pub admin_api_keys: String,
    /// Central, or another store that relays it.
    #[arg(long, env = "CENTRAL_API_URL", default_value = "http://127.0.0.1:8081")]
    pub central_api_url: String,
    /// This store's key at central.
    #[arg(long, env = "CENTRAL_API_KEY", hide_env_values = true)]
    pub central_api_key: Option<String>,
    /// Certificates (PEM) of which one must vouch for central when its URL is https; those that this
    /// machine trusts, if not given.
    #[arg(long, env = "CENTRAL_CA_FILE")]
    pub central_ca_file: Option<PathBuf>,
    /// What the port speaks TLS with.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Where spans are sent.
    #[command(flatten)]
    pub traces: TracesArgs,
    /// Currency of all prices, three letters, until central has said it.
    #[arg(long, env = "CURRENCY", default_value = "USD")]
    pub currency: String,
    /// Origins whose pages may call from a browser, comma-separated: `https://shop.example`.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", default_value = "")]
    pub cors_allowed_origins: String,
    /// debug, info, warn or error.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// json or pretty.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: String,
    /// Seconds without a good answer after which the feed is asked plainly on the side.
    #[arg(long, env = "SYNC_INTERVAL_SECONDS", default_value_t = 30)]
    pub sync_interval_seconds: u64,
    /// Seconds that a long poll may wait for an event.
    #[arg(long, env = "EVENT_WAIT_TIMEOUT_SECONDS", default_value_t = 25)]
    pub event_wait_timeout_seconds: u64,
    /// Most events in one answer of the feed.
    #[arg(long, env = "EVENT_BATCH_LIMIT", default_value_t = 1000)]
    pub event_batch_limit: usize,
    /// Milliseconds for one attempt at central, and for a plain question to the feed.
    #[arg(long, env = "CENTRAL_TIMEOUT_MS", default_value_t = 5000)]
    pub central_timeout_ms: u64,
    /// Milliseconds for a write altogether, with its repetitions.
    #[arg(long, env = "RETRY_DEADLINE_MS", default_value_t = 10_000)]
    pub retry_deadline_ms: u64,
    /// Milliseconds for placing an order, altogether and for each attempt. Central tells within 15 s
    /// what became of the payment; a store that gave up before would turn answers into doubt.
    #[arg(long, env = "ORDER_TIMEOUT_MS", default_value_t = 20_000)]
    pub order_timeout_ms: u64,
    /// Most attempts at one write.
    #[arg(long, env = "RETRY_MAX_ATTEMPTS", default_value_t = 3)]
    pub retry_max_attempts: u32,
    /// Milliseconds of the first wait between attempts, at most; doubles, with full jitter.
    #[arg(long, env = "RETRY_BASE_MS", default_value_t = 50)]
    pub retry_base_ms: u64,
    /// Milliseconds of any wait between attempts, at most.
    #[arg(long, env = "RETRY_CAP_MS", default_value_t = 1000)]
    pub retry_cap_ms: u64,
    /// When calls to central are not made.
    #[command(flatten)]
    pub breaker: BreakerArgs,
    /// How often somebody may ask.
    #[command(flatten)]
    pub rate_limits: RateLimitArgs,
    /// Seconds of age from which on the store calls itself degraded.
    #[arg(long, env = "MAX_STALE_SOFT_SECONDS", default_value_t = 300)]
    pub max_stale_soft_seconds: u64,
    /// Seconds between two heartbeats to central; 0 sends none.
    #[arg(long, env = "HEARTBEAT_SECONDS", default_value_t = 5)]
    pub heartbeat_seconds: u64,
}

impl Default for Settings {
    /// Every default, without looking at the environment.
    fn default() -> Self {
        #[derive(Debug, Parser)]
        struct Bare {
            #[command(flatten)]
            settings: Settings,
        }
        let command =
            <Bare as clap::CommandFactory>::command().mut_args(|arg| arg.env(None::<&str>));
        let matches = command.get_matches_from(["store-api"]);
        <Bare as clap::FromArgMatches>::from_arg_matches(&matches)
            .expect("every setting has a default or is optional")
            .settings
    }
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// This store.
    pub store_id: StoreId,
    /// What people call it.
    pub store_name: String,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on.
    pub port: u16,
    /// Port of the metrics.
    pub metrics_port: u16,
    /// Folder of the cache.
    pub data_dir: PathBuf,
    /// The keys of the settings.
    pub keys: ApiKeys,
    /// Origins whose pages may call from a browser.
    pub origins: Origins,
    /// Level and format of the log.
    pub log: (String, String),
    /// Currency of all prices, until central has said it.
    pub currency: String,
    /// What the port speaks TLS with, if it does.
    pub tls: Option<Arc<Tls>>,
    /// Where spans are sent, if anywhere.
    pub traces: TracesConfig,
    /// How central is reached.
    pub central: CentralConfig,
    /// How the feed is followed.
    pub sync: SyncConfig,
    /// Age from which on the store calls itself degraded.
    pub max_stale_soft: Duration,
    /// Time between two heartbeats.
    pub heartbeat: Option<Duration>,
    /// How often somebody may ask.
    pub rate_limits: RateLimitConfig,
}

/// How central is reached.
#[derive(Clone, Debug)]
pub struct CentralConfig {
    /// Where it is.
    pub url: String,
    /// This store's key there.
    pub key: Option<SecretString>,
    /// Who may vouch for it; none is whoever this machine trusts.
    pub roots: Vec<Certificate>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Time for a write altogether.
    pub deadline: Duration,
    /// Time for placing an order, altogether and for each attempt.
    pub order_timeout: Duration,
    /// Most attempts at one write.
    pub attempts: u32,
    /// Waits between them.
    pub backoff: Backoff,
    /// The breaker's numbers.
    pub breaker: BreakerSettings,
}

impl CentralConfig {
    /// The key in clear, for the one who sends it.
    #[must_use]
    pub fn key_text(&self) -> Option<&str> {
        self.key.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// How the feed is followed.
#[derive(Clone, Copy, Debug)]
pub struct SyncConfig {
    /// Time without a good answer after which the feed is asked on the side.
    pub interval: Duration,
    /// Longest long poll.
    pub wait: Duration,
    /// Most events in one answer.
    pub limit: usize,
    /// Time within which what was applied becomes durable.
    pub fsync_every: Duration,
}

/// Notes faults by the name of their variable.
struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, variable: &str, issue: impl std::fmt::Display) {
        self.0.push(format!("{variable}: {issue}"));
    }

    fn take<T, E: std::fmt::Display>(&mut self, variable: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.note(variable, error)).ok()
    }

    fn range(&mut self, variable: &str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            self.note(variable, format!("must be from {least} to {most}"));
        }
    }
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// A line for every fault, each naming its variable.
    pub fn check(settings: Settings) -> Result<Self, Vec<String>> {
        let mut faults = Faults(Vec::new());
        let store_id = faults.take("STORE_ID", StoreId::parse(&settings.store_id));
        let host: Result<IpAddr, _> = settings.host.parse();
        let host = faults.take("HOST", host.map_err(|_| "is not an IP address"));
        let origins = Origins::parse(&settings.cors_allowed_origins).unwrap_or_else(|found| {
            faults.0.extend(found);
            Origins::default()
        });
        let keys = ApiKeys::parse(&settings.api_keys, &settings.admin_api_keys);
        let keys = keys.unwrap_or_else(|found| {
            for fault in found {
                faults.note(&fault.field, fault.issue);
            }
            ApiKeys::default()
        });
        plain(&settings, &mut faults);
        let tls = settings.tls.clone().check().unwrap_or_else(|fault| {
            faults.0.push(fault);
            None
        });
        let traces = settings.traces.clone().check("store-api");
        let traces = traces.unwrap_or_else(|fault| {
            faults.0.push(fault);
            TracesConfig::default()
        });
        let rate_limits = settings.rate_limits.check(&mut faults.0);
        let central = central(&settings, &mut faults);
        match (store_id, host, central) {
            (Some(store_id), Some(host), Some(central)) if faults.0.is_empty() => Ok(Self {
                store_name: settings.store_name.unwrap_or_else(|| store_id.to_string()),
                host,
                port: settings.port,
                metrics_port: settings.metrics_port,
                data_dir: settings
                    .data_dir
                    .unwrap_or_else(|| PathBuf::from("data").join(store_id.as_str())),
                store_id,
                keys,
                origins,
                tls,
                traces,
                log: (settings.log_level, settings.log_format),
                currency: settings.currency,
                central,
                sync: SyncConfig {
                    interval: Duration::from_secs(settings.sync_interval_seconds),
                    wait: Duration::from_secs(settings.event_wait_timeout_seconds),
                    limit: settings.event_batch_limit,
                    fsync_every: Duration::from_secs(1),
                },
                max_stale_soft: Duration::from_secs(settings.max_stale_soft_seconds),
                heartbeat: Some(settings.heartbeat_seconds)
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
                rate_limits,
            }),
            _ => Err(faults.0),
        }
    }
}

/// Checks what stands for itself.
fn plain(settings: &Settings, faults: &mut Faults) {
    for (variable, value, words) in [
        (
            "LOG_LEVEL",
            &settings.log_level,
            &["debug", "info", "warn", "error"][..],
        ),
        ("LOG_FORMAT", &settings.log_format, &["json", "pretty"][..]),
    ] {
        if !words.contains(&value.as_str()) {
            faults.note(variable, format!("must be one of: {}", words.join(", ")));
        }
    }
    if settings.metrics_port == settings.port && settings.port != 0 {
        faults.note("METRICS_PORT", "must be another port than PORT");
    }
    if !is_currency(&settings.currency) {
        let issue = format!("{:?} is not three capital letters", settings.currency);
        faults.note("CURRENCY", issue);
    }
    let wait_max = limits::FEED_WAIT_MAX.as_secs();
    let day = 24 * 3600;
    faults.range(
        "SYNC_INTERVAL_SECONDS",
        settings.sync_interval_seconds,
        1,
        3600,
    );
    faults.range(
        "EVENT_WAIT_TIMEOUT_SECONDS",
        settings.event_wait_timeout_seconds,
        1,
        wait_max,
    );
    let limit_max = limits::FEED_LIMIT_MAX as u64;
    faults.range(
        "EVENT_BATCH_LIMIT",
        settings.event_batch_limit as u64,
        1,
        limit_max,
    );
    faults.range(
        "MAX_STALE_SOFT_SECONDS",
        settings.max_stale_soft_seconds,
        1,
        day,
    );
    faults.range("HEARTBEAT_SECONDS", settings.heartbeat_seconds, 0, 3600);
}

fn central(settings: &Settings, faults: &mut Faults) -> Option<CentralConfig> {
    let millis = Duration::from_millis;
    for (variable, value) in [
        ("CENTRAL_TIMEOUT_MS", settings.central_timeout_ms),
        ("RETRY_DEADLINE_MS", settings.retry_deadline_ms),
        ("ORDER_TIMEOUT_MS", settings.order_timeout_ms),
    ] {
        faults.range(variable, value, 10, 120_000);
    }
    faults.range(
        "RETRY_MAX_ATTEMPTS",
        settings.retry_max_attempts.into(),
        1,
        10,
    );
    let url = settings.central_api_url.parse::<reqwest::Url>();
    let usable =
        url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    if !usable {
        faults.note("CENTRAL_API_URL", "is not an http(s) URL");
    }
    let key = settings
        .central_api_key
        .clone()
        .filter(|key| !key.is_empty());
    if key
        .as_ref()
        .is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        faults.note("CENTRAL_API_KEY", "must be visible ASCII without spaces");
    }
    let roots = settings.central_ca_file.as_deref().map(certificates);
    let roots = faults.take("CENTRAL_CA_FILE", roots.unwrap_or_else(|| Ok(Vec::new())));
    let backoff = Backoff::try_new(BackoffSettings {
        base: millis(settings.retry_base_ms),
        cap: millis(settings.retry_cap_ms),
        ..BackoffSettings::default()
    });
    let backoff = faults.take("RETRY_BASE_MS, RETRY_CAP_MS", backoff);
    let timeout = millis(settings.central_timeout_ms);
    let order_timeout = millis(settings.order_timeout_ms);
    // Any call may be the probe, so it is the longest that a probe is waited for.
    let longest = timeout.max(order_timeout);
    let breaker = faults.take("BREAKER_*", settings.breaker.check(longest));
    // A base URL is joined with paths, so it must end like a folder.
    let slash = if settings.central_api_url.ends_with('/') {
        ""
    } else {
        "/"
    };
    Some(CentralConfig {
        url: format!("{}{slash}", settings.central_api_url),
        key: key.map(SecretString::from),
        roots: roots?,
        timeout,
        deadline: millis(settings.retry_deadline_ms),
        order_timeout,
        attempts: settings.retry_max_attempts,
        backoff: backoff?,
        breaker: breaker?,
    })
}

/// The certificates in a file; at least one.
fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    match Certificate::from_pem_bundle(&bytes) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("there is no certificate (PEM) in {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config = Config::check(Settings::default()).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("data/store-s1"));
        assert_eq!(config.store_name, "store-s1");
        assert_eq!(config.central.url, "http://127.0.0.1:8081/");
        assert_eq!(config.central.breaker.open_for, Duration::from_secs(30));
        assert!(config.central.order_timeout > limits::ORDER_WAIT);
        // A probe is not given up before the longest call has had its time.
        assert!(config.central.breaker.probe_timeout > config.central.order_timeout);
        assert!(config.central.breaker.probe_timeout > config.central.timeout);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = Config::check(Settings {
            store_id: "a b".into(),
            host: "nowhere".into(),
            metrics_port: 8083,
            api_keys: "k@@/".into(),
            log_level: "loud".into(),
            currency: "dollars".into(),
            event_wait_timeout_seconds: 0,
            event_batch_limit: 5000,
            central_api_url: "ftp://x".into(),
            central_api_key: Some("se cret".into()),
            breaker: BreakerArgs {
                failure_percent: 0,
                ..BreakerArgs::default()
            },
            retry_cap_ms: 1,
            rate_limits: RateLimitArgs {
                requests_per_minute: 0,
                trusted_proxies: "proxy".into(),
                ..RateLimitArgs::default()
            },
            ..Settings::default()
        })
        .unwrap_err();
        let text = faults.join("\n");
        for variable in [
            "STORE_ID",
            "HOST",
            "METRICS_PORT",
            "API_KEYS",
            "LOG_LEVEL",
            "CURRENCY",
            "EVENT_WAIT_TIMEOUT_SECONDS",
            "EVENT_BATCH_LIMIT",
            "CENTRAL_API_URL",
            "CENTRAL_API_KEY",
            "BREAKER_",
            "RETRY_CAP_MS",
            "RATE_LIMIT_REQUESTS_PER_MINUTE",
            "TRUSTED_PROXIES[0]",
        ] {
            assert!(text.contains(variable), "{variable} is missing in:\n{text}");
        }
        assert!(!text.contains("se cret"), "a secret is shown");
    }
}
