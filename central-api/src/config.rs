//! The settings: one typed value, read once, and the only reader of the environment.
//!
//! `central-api --help` documents every variable. All faults are reported together, before anything
//! is opened.

mod payments;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Parser, Subcommand};
use shared::limits;
use shared::service::auth::ApiKeys;
use shared::service::cors::Origins;
use shared::service::rate_limit::{RateLimitArgs, RateLimitConfig};
use shared::service::telemetry::{LogFormat, level_of};
use shared::service::tls::{Tls, TlsArgs};
use shared::service::traces::{TracesArgs, TracesConfig};
use tracing::Level;

use crate::export::ExportFormat;
use crate::ledger::{KeyRetention, Retention};

pub use payments::{PaymentConfig, PaymentSettings, ProviderConfig};

/// The central inventory service.
#[derive(Debug, Parser)]
#[command(name = "central-api", version, about)]
pub struct Cli {
    /// What to do; without one, the service runs.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// The settings of the service.
    #[command(flatten)]
    pub settings: Settings,
}

/// Everything besides running.
#[derive(Clone, Debug, Subcommand)]
pub enum CliCommand {
    /// Writes the catalogue of a stopped service to standard output; no reservations and no orders.
    Export {
        /// csv or ndjson.
        #[arg(long, value_enum, default_value = "ndjson")]
        format: ExportFormat,
    },
    /// Reads the whole journal and every snapshot and says what is wrong, and where; changes nothing.
    Verify,
}

/// The settings, as text.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one, which the log names.
    #[arg(long, env = "PORT", default_value_t = 8081)]
    pub port: u16,
    /// Port of GET /metrics, for Prometheus, without a key; 0 takes a free one, which the log names.
    #[arg(long, env = "METRICS_PORT", default_value_t = 9080)]
    pub metrics_port: u16,
    /// Folder of the journal and the snapshots; one process at a time.
    #[arg(long, env = "DATA_DIR", default_value = "data/central")]
    pub data_dir: PathBuf,
    /// Keys, comma-separated: `key@storeId` bound to a store, `key` for any store, `key:read`.
    #[arg(long, env = "API_KEYS", default_value = "", hide_env_values = true)]
    pub api_keys: String,
    /// Keys that may do everything, comma-separated. With no key at all the first start makes one and
    /// shows it, once.
    #[arg(
        long,
        env = "ADMIN_API_KEYS",
        default_value = "",
        hide_env_values = true
    )]
    pub admin_api_keys: String,
    /// Origins whose pages may call from a browser, comma-separated: `https://shop.example`.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", default_value = "")]
    pub cors_allowed_origins: String,
    /// debug, info, warn or error.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// json or pretty.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: String,
    /// Hours for which an idempotency key is remembered.
    #[arg(long, env = "IDEMPOTENCY_RETENTION_HOURS", default_value_t = 168)]
    pub idempotency_retention_hours: u32,
    /// Hours after which events may be dropped; 0 keeps everything. Otherwise no less than
    /// `IDEMPOTENCY_RETENTION_HOURS`: the answer to a repeated key is made from its event.
    #[arg(long, env = "EVENT_RETENTION_HOURS", default_value_t = 0)]
    pub event_retention_hours: u32,
    /// CSV or NDJSON file that is imported once, when the journal is empty.
    #[arg(long, env = "SEED_CATALOG")]
    pub seed_catalog: Option<PathBuf>,
    /// Currency of all prices (ISO 4217).
    #[arg(long, env = "CURRENCY", default_value = "USD")]
    pub currency: String,
    /// Bytes after which a journal segment is sealed.
    #[arg(long, env = "SEGMENT_BYTES", default_value_t = limits::SEGMENT_BYTES, hide = true)]
    pub segment_bytes: u64,
    /// true lets an admin key make calls fail on purpose, by /v1/admin/faults; see docs/faults.md.
    #[arg(long, env = "FAULT_INJECTION", default_value_t = false, action = ArgAction::Set)]
    pub fault_injection: bool,
    /// What the port speaks TLS with.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Where spans are sent.
    #[command(flatten)]
    pub traces: TracesArgs,
    /// How often somebody may ask.
    #[command(flatten)]
    pub rate_limits: RateLimitArgs,
    /// Who moves money, and when nobody is asked to.
    #[command(flatten)]
    pub payments: PaymentSettings,
}

/// What holds where nothing is set, without a look at the environment.
impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8081,
            metrics_port: 9080,
            data_dir: PathBuf::from("data/central"),
            api_keys: String::new(),
            admin_api_keys: String::new(),
            cors_allowed_origins: String::new(),
            log_level: "info".to_owned(),
            log_format: "json".to_owned(),
            idempotency_retention_hours: 168,
            event_retention_hours: 0,
            seed_catalog: None,
            currency: "USD".to_owned(),
            segment_bytes: limits::SEGMENT_BYTES,
            fault_injection: false,
            tls: TlsArgs::default(),
            traces: TracesArgs::default(),
            rate_limits: RateLimitArgs::default(),
            payments: PaymentSettings::default(),
        }
    }
}

/// The settings, checked.
#[derive(Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on.
    pub port: u16,
    /// Port of the metrics.
    pub metrics_port: u16,
    /// Folder of the journal and the snapshots.
    pub data_dir: PathBuf,
    /// The keys of the settings.
    pub keys: ApiKeys,
    /// Origins whose pages may call from a browser.
    pub origins: Origins,
    /// Level and format of the log.
    pub log: (Level, LogFormat),
    /// Hours for which an idempotency key is remembered.
    pub idempotency_retention_hours: u32,
    /// Hours after which events may be dropped; 0 keeps everything.
    pub event_retention_hours: u32,
    /// File that is imported once.
    pub seed_catalog: Option<PathBuf>,
    /// Currency of all prices.
    pub currency: String,
    /// Bytes after which a journal segment is sealed.
    pub segment_bytes: u64,
    /// Whether an admin key can make calls fail on purpose.
    pub fault_injection: bool,
    /// How many orders that are over are kept in memory. Not a setting: every copy of a log keeps the
    /// same ones, so it is for tests to change.
    pub ended_orders: usize,
    /// What the port speaks TLS with, if it does.
    pub tls: Option<Arc<Tls>>,
    /// Where spans are sent, if anywhere.
    pub traces: TracesConfig,
    /// How often somebody may ask.
    pub rate_limits: RateLimitConfig,
    /// Who moves money.
    pub payments: PaymentConfig,
}

impl Config {
    /// What is remembered in memory, and for how long.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            keys: KeyRetention {
                millis: i64::from(self.idempotency_retention_hours) * 3_600_000,
                ..KeyRetention::default()
            },
            ended_orders: self.ended_orders,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// A line for every fault, each naming its variable.
    pub fn check(settings: Settings) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let host = settings.host.parse::<IpAddr>();
        if host.is_err() {
            faults.push(format!("HOST: {:?} is not an IP address", settings.host));
        }
        if settings.metrics_port == settings.port && settings.port != 0 {
            faults.push("METRICS_PORT: must be another port than PORT".to_owned());
        }
        let keys = ApiKeys::parse(&settings.api_keys, &settings.admin_api_keys).map_err(|found| {
            let lines = found.into_iter();
            lines
                .map(|one| format!("{}: {}", one.field, one.issue))
                .collect()
        });
        let keys = or_default(keys, &mut faults);
        let origins = or_default(Origins::parse(&settings.cors_allowed_origins), &mut faults);
        let tls = settings.tls.clone().check().map_err(|fault| vec![fault]);
        let tls = or_default(tls, &mut faults);
        let traces = settings.traces.clone().check("central-api");
        let traces = or_default(traces.map_err(|fault| vec![fault]), &mut faults);
        let log = log(&settings, &mut faults);
        plain(&settings, &mut faults);
        let rate_limits = settings.rate_limits.clone().check(&mut faults);
        let payments = PaymentConfig::check(settings.payments, &mut faults);
        match (host, log, payments) {
            (Ok(host), Some(log), Some(payments)) if faults.is_empty() => Ok(Self {
                host,
                port: settings.port,
                metrics_port: settings.metrics_port,
                data_dir: settings.data_dir,
                keys,
                origins,
                log,
                idempotency_retention_hours: settings.idempotency_retention_hours,
                event_retention_hours: settings.event_retention_hours,
                seed_catalog: settings.seed_catalog,
                currency: settings.currency,
                segment_bytes: settings.segment_bytes,
                fault_injection: settings.fault_injection,
                ended_orders: limits::ORDERS_ENDED_KEPT,
                tls,
                traces,
                rate_limits,
                payments,
            }),
            _ => Err(faults),
        }
    }
}

/// Checks what stands for itself.
fn plain(settings: &Settings, faults: &mut Vec<String>) {
    let currency = &settings.currency;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        faults.push(format!(
            "CURRENCY: {currency:?} is not three capital letters"
        ));
    }
    if settings.idempotency_retention_hours == 0 {
        faults.push("IDEMPOTENCY_RETENTION_HOURS: must be at least 1".to_owned());
    }
    faults.extend(too_short(settings));
    if let Some(file) = settings
        .seed_catalog
        .as_ref()
        .filter(|file| !file.is_file())
    {
        faults.push(format!("SEED_CATALOG: there is no file {}", file.display()));
    }
}

/// What is wrong with keeping events for a shorter time than keys: a key whose record is gone could be
/// neither answered nor used again.
fn too_short(settings: &Settings) -> Option<String> {
    let events = settings.event_retention_hours;
    let keys = settings.idempotency_retention_hours;
    (1..keys).contains(&events).then(|| {
        format!(
            "EVENT_RETENTION_HOURS: {events} is less than IDEMPOTENCY_RETENTION_HOURS, which is \
             {keys}; a repeated request is answered from its event. Keep events for at least {keys} \
             hours, or for ever with 0, or remember keys for at most {events}"
        )
    })
}

/// How much is logged, and how a line looks.
fn log(settings: &Settings, faults: &mut Vec<String>) -> Option<(Level, LogFormat)> {
    let given = &settings.log_level;
    let level = level_of(given);
    if level.is_none() {
        faults.push(format!(
            "LOG_LEVEL: {given:?} is not debug, info, warn or error"
        ));
    }
    let format = settings.log_format.parse::<LogFormat>();
    if let Err(fault) = &format {
        faults.push(format!("LOG_FORMAT: {fault}"));
    }
    Some((level?, format.ok()?))
}

/// What is used where a setting is not valid, so that the others are looked at as well.
fn or_default<T: Default>(checked: Result<T, Vec<String>>, faults: &mut Vec<String>) -> T {
    checked.unwrap_or_else(|found| {
        faults.extend(found);
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a service that keeps events and keys for so many hours.
    fn faults(events: u32, keys: u32) -> Vec<String> {
        let settings = Settings {
            event_retention_hours: events,
            idempotency_retention_hours: keys,
            ..Settings::default()
        };
        Config::check(settings).err().unwrap_or_default()
    }

    #[test]
    fn events_are_kept_for_as_long_as_the_keys_that_they_answer() {
        for (events, keys) in [(0, 1), (0, 168), (1, 1), (168, 168), (200, 168)] {
            assert_eq!(
                faults(events, keys),
                Vec::<String>::new(),
                "{events} {keys}"
            );
        }
        for (events, keys) in [(1, 2), (167, 168), (24, 168)] {
            let faults = faults(events, keys);
            let fault = faults.first().map_or("", String::as_str);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(fault.starts_with("EVENT_RETENTION_HOURS: "), "{fault}");
            assert!(fault.contains("IDEMPOTENCY_RETENTION_HOURS"), "{fault}");
            assert!(fault.contains(&format!(" {keys} hours")), "{fault}");
        }
        // No time at all for keys is one fault, and not two.
        assert_eq!(faults(1, 0).len(), 1);
    }
}
