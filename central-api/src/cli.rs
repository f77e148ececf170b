//! The commands of the binary: run, verify, export.

use std::io::{self, Write as _};
use std::process::ExitCode;

use shared::causes::chain;
use shared::service::metrics::Listeners;
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
    let _log = match telemetry::start(config.log.0, config.log.1) {
        Ok(guard) => guard,
        Err(error) => {
            complain(&chain(&error));
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
    runtime.block_on(async {
        let shutdown = match shutdown::on_signal() {
            Ok(shutdown) => shutdown,
            Err(error) => {
                complain(&format!("cannot listen for signals: {error}"));
                return ExitCode::FAILURE;
            }
        };
        if let Err(error) = tls::reload_on_hangup(config.tls.clone(), shutdown.clone()) {
            complain(&format!("cannot listen for signals: {error}"));
            return ExitCode::FAILURE;
        }
        let listeners = match Listeners::open(config.host, config.port, config.metrics_port) {
            Ok(listeners) => listeners,
            Err(error) => {
                complain(&chain(&error));
                return ExitCode::FAILURE;
            }
        };
        match startup::run(config, listeners, shutdown).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&chain(&error));
                ExitCode::FAILURE
            }
        }
    })
}
