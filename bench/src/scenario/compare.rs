//! Two servers, measured in turns.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::drive::{Plan, Workload, drive};
use crate::server::Server;
use crate::tally::{Tally, count};

/// How a comparison runs.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// Turns of each server.
    pub rounds: usize,
    /// Each turn.
    pub plan: Plan,
}

/// What was measured of one server over all its turns.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Counts and latencies.
    pub tally: Tally,
    /// Processor time of the server, warm-up included.
    pub processor: Duration,
}

impl Figures {
    async fn turn<W: Workload>(
        &mut self,
        server: &Server,
        plan: Plan,
        workload: impl Fn(usize) -> W + Send + 'static,
    ) -> io::Result<()> {
        let before = server.processor_time();
        let tally = driven(server.address, plan, workload).await?;
        if let (Some(before), Some(after)) = (before, server.processor_time()) {
            self.processor += after.saturating_sub(before);
        }
        self.tally.append(&tally);
        Ok(())
    }

    /// Processor cores that the server kept busy.
    #[must_use]
    pub fn cores(&self, turns: Turns) -> f64 {
        let turn = turns.plan.warm_up + turns.plan.span;
        let rounds = u32::try_from(turns.rounds).unwrap_or(u32::MAX);
        self.processor.as_secs_f64() / turn.saturating_mul(rounds).as_secs_f64().max(0.001)
    }
}

/// The rate of `a` as a share of the rate of `b`.
#[must_use]
pub fn share(a: &Tally, b: &Tally) -> f64 {
    let other = b.rate();
    if other > 0.0 { a.rate() / other } else { 0.0 }
}

/// Measures `a` and `b` in turns.
///
/// # Errors
/// If a run cannot be started.
pub async fn compare<A: Workload, B: Workload>(
    turns: Turns,
    (server_a, workload_a): (&Server, impl Fn(usize) -> A + Send + Clone + 'static),
    (server_b, workload_b): (&Server, impl Fn(usize) -> B + Send + Clone + 'static),
) -> io::Result<(Figures, Figures)> {
    let (mut a, mut b) = (Figures::default(), Figures::default());
    for _ in 0..turns.rounds {
        a.turn(server_a, turns.plan, workload_a.clone()).await?;
        b.turn(server_b, turns.plan, workload_b.clone()).await?;
    }
    Ok((a, b))
}

/// [`drive`] without blocking the runtime.
///
/// # Errors
/// If a client thread cannot be started.
pub async fn driven<W: Workload>(
    address: SocketAddr,
    plan: Plan,
    workload: impl Fn(usize) -> W + Send + 'static,
) -> io::Result<Tally> {
    tokio::task::spawn_blocking(move || drive(address, plan, workload))
        .await
        .map_err(io::Error::other)?
}

/// Bytes in mebibytes, for people.
#[must_use]
pub fn mebibytes(bytes: u64) -> f64 {
    count(bytes) / (1024.0 * 1024.0)
}
