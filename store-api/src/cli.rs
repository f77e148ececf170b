//! The command: run.

use std::io;
use std::process::ExitCode;

use shared::causes::chain;
use shared::service::metrics::Listeners;
use shared::service::telemetry::LogFormat;
use shared::service::traces::Traces;
use shared::service::{settings, shutdown, telemetry, tls};
use tracing::Level;

use crate::config::{Cli, Config};
use crate::startup;

/// What `main` does.
#[must_use]
pub fn main() -> ExitCode {
    let (cli, mut faults) = settings::read::<Cli>();
    let config = match Config::check(cli.settings) {
        Ok(config) if faults.is_empty() => config,
        checked => {
            faults.extend(checked.err().unwrap_or_default());
            complain("the settings are not valid:");
            for fault in faults {
                complain(&format!("  {fault}"));
            }
            return ExitCode::from(64);
        }
    };
    let (Ok(level), Ok(format)) = (config.log.0.parse(), config.log.1.parse()) else {
        complain("the log's level or format is not one");
        return ExitCode::from(64);
    };
    match run(config, level, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config, level: Level, format: LogFormat) -> Result<(), String> {
    let _log = telemetry::start(level, format).map_err(|error| chain(&error))?;
    // Beside the runtime: what sends spans has a thread of its own, and waits for it.
    let traces = Traces::start(&config.traces).map_err(|error| chain(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let served = runtime.block_on(listen(config));
    traces.finish();
    served
}

async fn listen(config: Config) -> Result<(), String> {
    let deaf = |error: io::Error| format!("cannot listen for signals: {error}");
    let shutdown = shutdown::on_signal().map_err(deaf)?;
    tls::reload_on_hangup(config.tls.clone(), shutdown.clone()).map_err(deaf)?;
    let listeners = Listeners::open(config.host, config.port, config.metrics_port);
    let listeners = listeners.map_err(|error| chain(&error))?;
    let ran = startup::run(config, listeners, shutdown).await;
    ran.map_err(|error| chain(&error))
}

/// Says something to whoever started the program.
#[expect(
    clippy::print_stderr,
    reason = "there is no log before the settings are known"
)]
fn complain(line: &str) {
    eprintln!("store-api: {line}");
}
