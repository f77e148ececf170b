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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Sends this very process a signal; whoever listens for it survives.
    fn signal_self(name: &str) {
        let pid = std::process::id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    // One test, since the signals of a process are seen by all who listen in it.
    #[tokio::test]
    async fn the_first_signal_of_either_kind_is_enough_and_a_second_ends_nothing() {
        for name in ["-TERM", "-INT"] {
            let stop = on_signal().unwrap();
            let other = on_signal().unwrap();
            tokio::task::yield_now().await;
            assert!(!stop.is_cancelled(), "nobody has asked yet");
            signal_self(name);
            for token in [stop, other] {
                let told = tokio::time::timeout(Duration::from_secs(20), token.cancelled());
                told.await.expect(name);
            }
            // The process lives, whatever comes now: its end is the drain's business.
            let late = on_signal().unwrap();
            signal_self(name);
            let told = tokio::time::timeout(Duration::from_secs(20), late.cancelled());
            told.await.expect(name);
        }
    }
}
