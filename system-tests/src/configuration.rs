//! `docs/configuration.md`: every setting of both services, written from the programs' own parsers.
//!
//! `cargo run -p system-tests --bin configuration > docs/configuration.md` writes it anew; a test says when
//! that is due. Left out are settings that are hidden from `--help`, which are for tests.

use std::fmt::Write as _;

use clap::{Arg, CommandFactory as _};

const OPENING: &str = "\
# Settings

Both services are set by environment variables, or by flags of the same meaning (`central-api --help`, `store-api
--help`). All faults are reported together, before anything is opened, and the service does not start. An unknown
variable is nobody's business; an unknown flag is a fault.

This file is written by `cargo run -p system-tests --bin configuration`; a test compares it with the programs.
";

/// Variables that a library reads for itself.
const BY_LIBRARIES: &str = "\
## Read by libraries

| variable | default | |
|---|---|---|
| `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` | Which requests are traced, as the OpenTelemetry specification has it: `parentbased_traceidratio` and `0.01` for every hundredth. |
| `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | `5000`, `2048`, `512` | How spans are gathered before they are sent. |
| `OTEL_RESOURCE_ATTRIBUTES` | none | What is said of this process with every span. |
| `MIMALLOC_*` | | Settings of the allocator. |
";

/// The whole file.
#[must_use]
pub fn document() -> String {
    let mut text = OPENING.to_owned();
    for (name, command) in [
        ("central-api", central_api::config::Cli::command()),
        ("store-api", store_api::config::Cli::command()),
    ] {
        write!(
            text,
            "\n## {name}\n\n| variable | default | |\n|---|---|---|\n"
        )
        .expect("writing to a String cannot fail");
        for arg in command.get_arguments() {
            text.push_str(&row(arg).unwrap_or_default());
        }
    }
    text.push('\n');
    text.push_str(BY_LIBRARIES);
    text
}

/// The row of a setting; none for a flag that is no setting.
fn row(arg: &Arg) -> Option<String> {
    let variable = arg.get_env()?.to_string_lossy();
    if arg.is_hide_set() {
        return None;
    }
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|it| it.to_string_lossy())
        .collect();
    let default = match defaults.join(",") {
        none if none.is_empty() => "none".to_owned(),
        some => format!("`{some}`"),
    };
    let help = arg.get_long_help().or_else(|| arg.get_help())?.to_string();
    let help = help
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|");
    let stop = if help.ends_with('.') { "" } else { "." };
    Some(format!("| `{variable}` | {default} | {help}{stop} |\n"))
}
