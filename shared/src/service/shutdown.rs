//! Signals → one token that everything long-lived watches.
//!
//! `SIGTERM` and `SIGINT` mean the same: stop taking work, finish what was begun, end within the
//! drain time. A second signal changes nothing; the drain is bounded anyway, and `SIGKILL` is safe
//! at any instant, which is what the journal is for.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for the signals from now on; the token is cancelled by the first.
///
/// # Errors
/// When the process may not listen for signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, "stopping");
        stop.cancel();
    });
    Ok(token)
}
