//! Reads a service's settings so that one start names every fault.
//!
//! The parser stops at the first value that is not of its type, which would make a list of five
//! mistakes five starts. Here such a value is noted, its variable is passed over, and the reading goes
//! on with the default, so that everything else is still looked at. What stays true: settings with a
//! fault are never used, only checked. Flags of the command line are left to the parser: who types
//! them sees its answer.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Parser};

/// The command line and the environment, and a line for every variable that is not of its type.
/// Ends the process where there is nothing to go on with, as for `--help`.
#[must_use]
pub fn read<C: Parser>() -> (C, Vec<String>) {
    let mut command = C::command();
    let mut faults = Vec::new();
    loop {
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let error = match matches.and_then(|matches| C::from_arg_matches(&matches)) {
            Ok(settings) => return (settings, faults),
            Err(error) => error,
        };
        let Some((id, fault)) = of_a_variable(&command, &error) else {
            error.exit()
        };
        faults.push(fault);
        command = command.mut_arg(id, |arg| arg.env(None::<&str>));
    }
}

/// The setting whose variable `error` is about, and what is wrong with it.
fn of_a_variable(command: &Command, error: &clap::Error) -> Option<(clap::Id, String)> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let of_a_value = [ErrorKind::ValueValidation, ErrorKind::InvalidValue].contains(&error.kind());
    let named = text(ContextKind::InvalidArg).filter(|_| of_a_value)?;
    let mut arguments = command.get_arguments();
    let argument = arguments.find(|argument| argument.to_string() == named)?;
    let variable = argument.get_env()?.to_string_lossy();
    let issue = match (text(ContextKind::InvalidValue), error.source()) {
        (Some(value), Some(source)) if !value.is_empty() => format!("{value:?}: {source}"),
        (_, _) => "must not be empty".to_owned(),
    };
    let id = argument.get_id().clone();
    Some((id, format!("{variable}: {issue}")))
}
