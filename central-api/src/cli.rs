//! The commands of the binary: run, verify, export.

use std::io::{self, Write as _};
use std::process::ExitCode;

use shared::causes::chain;
use shared::service::metrics::Listeners;
use shared::service::traces::Traces;
use shared::service::{settings, shutdown, telemetry, tls};

use crate::config::{Cli, CliCommand, Config};
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
            faults
                .iter()
                .for_each(|fault| complain(&format!("  {fault}")));
            return ExitCode::from(64);
        }
    };
    match cli.command {
        None => serve(config),
        Some(CliCommand::Export { format }) => crate::export::main(&config, format),
        Some(CliCommand::Verify) => crate::verify::main(&config),
    }
}

/// Says something to whoever started the program.
#[expect(
    clippy::print_stderr,
    reason = "there is no log before the settings are known"
)]
pub(crate) fn complain(line: &str) {
    eprintln!("central-api: {line}");
}

/// Shows the first admin key to whoever started the program. Not a line of the log: secrets never
/// are.
pub(crate) fn show_first_key(key: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(
        out,
        "central-api: no API key is set, so a first admin key was made."
    )?;
    writeln!(
        out,
        "central-api: it is shown this once and never again: {key}"
    )?;
    out.flush()
}

fn serve(config: Config) -> ExitCode {
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<(), String> {
    let _log = telemetry::start(config.log.0, config.log.1).map_err(|error| chain(&error))?;
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
