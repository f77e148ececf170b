//! The command: run.

use std::process::ExitCode;

use shared::causes::chain;
use shared::service::metrics::Listeners;
use shared::service::{settings, shutdown, telemetry, tls};

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
    let _log = match telemetry::start(level, format) {
        Ok(guard) => guard,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), String> {
    let shutdown =
        shutdown::on_signal().map_err(|error| format!("cannot listen for signals: {error}"))?;
    tls::reload_on_hangup(config.tls.clone(), shutdown.clone())
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    let listeners = Listeners::open(config.host, config.port, config.metrics_port);
    let listeners = listeners.map_err(|error| chain(&error))?;
    let run = startup::run(config, listeners, shutdown).await;
    run.map_err(|error| chain(&error))
}

/// Says something to whoever started the program.
#[expect(
    clippy::print_stderr,
    reason = "there is no log before the settings are known"
)]
fn complain(line: &str) {
    eprintln!("store-api: {line}");
}
