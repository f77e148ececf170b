//! Drives a server with many connections.
//!
//! Each thread runs its own single-threaded runtime with its share of the connections, so threads
//! share nothing but the clock. *Closed loop* means that a connection sends its next request when
//! it has the answer: it finds out how much a server can carry, but hides waiting, because a slow
//! server is asked less. *Open loop* sends at set times whatever the server does, and counts
//! latency from the time at which a request should have been sent; timers tick in milliseconds, so
//! such a latency can be up to one too long.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::client::{Connection, Response};
use crate::tally::{Outcome, Tally};

/// How long after the end of a run an answer may still come.
const GRACE: Duration = Duration::from_secs(10);

/// What one connection sends, and what it makes of the answers.
pub trait Workload: Send + 'static {
    /// Writes the next request over `out`.
    fn request(&mut self, out: &mut Vec<u8>);

    /// Judges its answer. A success counts for one operation unless the workload knows better.
    fn judge(&mut self, response: &Response<'_>) -> Outcome {
        if response.is_success() {
            Outcome::Done(1)
        } else {
            Outcome::Failed
        }
    }
}

/// The shape of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, over all threads.
    pub connections: usize,
    /// Client threads.
    pub threads: usize,
    /// Time before counting begins.
    pub warm_up: Duration,
    /// Time over which is counted.
    pub span: Duration,
    /// Requests a second over all connections; `None` is a closed loop.
    pub rate: Option<f64>,
}

/// Runs `plan` against `address`; `workload(i)` makes the workload of connection `i`.
///
/// # Errors
/// If a client thread cannot be started.
pub fn drive<W: Workload>(
    address: SocketAddr,
    plan: Plan,
    workload: impl Fn(usize) -> W,
) -> io::Result<Tally> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let begin = Instant::now();
    let mut shares: Vec<Vec<(usize, W)>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, share) in (0..plan.connections).zip((0..threads).cycle()) {
        if let Some(share) = shares.get_mut(share) {
            share.push((index, workload(index)));
        }
    }
    let running = shares
        .into_iter()
        .map(|share| {
            thread::Builder::new()
                .name("load".into())
                .spawn(move || run_share(address, plan, begin, share))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut total = Tally::default();
    for thread in running {
        match thread.join() {
            Ok(tally) => total.join(&tally?),
            Err(_) => total.fail("a client thread panicked"),
        }
    }
    total.span = plan.span;
    Ok(total)
}

/// Runs the connections of one thread.
fn run_share<W: Workload>(
    address: SocketAddr,
    plan: Plan,
    begin: Instant,
    share: Vec<(usize, W)>,
) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let local = LocalSet::new();
    for (index, workload) in share {
        let caller = Caller {
            address,
            workload,
            pace: Pace::new(plan, begin, index),
            tally: Rc::clone(&tally),
        };
        local.spawn_local(caller.run());
    }
    runtime.block_on(local);
    Ok(tally.replace(Tally::default()))
}

/// When one connection sends, and what of it counts.
#[derive(Clone, Copy, Debug)]
struct Pace {
    count_from: Instant,
    end: Instant,
    /// The next intended time and the step to the one after it, in an open loop.
    schedule: Option<(Instant, Duration)>,
}

impl Pace {
    fn new(plan: Plan, begin: Instant, index: usize) -> Self {
        let count_from = begin + plan.warm_up;
        let schedule = plan.rate.map(|rate| {
            let connections = u32::try_from(plan.connections).unwrap_or(u32::MAX);
            let gap = Duration::from_secs_f64(1.0 / rate.max(0.001));
            let first = begin + gap.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
            (first, gap.saturating_mul(connections))
        });
        Self {
            count_from,
            end: count_from + plan.span,
            schedule,
        }
    }

    /// Waits for the time to send and gives the instant from which latency counts.
    async fn next(&mut self) -> Instant {
        match &mut self.schedule {
            None => Instant::now(),
            Some((intended, step)) => {
                let at = *intended;
                *intended = at + *step;
                sleep_until(at).await;
                at
            }
        }
    }
}

/// One connection at work.
struct Caller<W> {
    address: SocketAddr,
    workload: W,
    pace: Pace,
    tally: Rc<RefCell<Tally>>,
}

impl<W: Workload> Caller<W> {
    async fn run(mut self) {
        let last_call = self.pace.end + GRACE;
        let tally = Rc::clone(&self.tally);
        match timeout_at(last_call, self.converse()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tally.borrow_mut().fail(error),
            Err(_) => tally.borrow_mut().fail("no answer in time"),
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let mut request = Vec::with_capacity(1024);
        loop {
            self.workload.request(&mut request);
            let sent = self.pace.next().await;
            if sent >= self.pace.end {
                return Ok(());
            }
            let response = connection.exchange(&request).await?;
            let now = Instant::now();
            let outcome = self.workload.judge(&response);
            if outcome == Outcome::Failed {
                let start: Vec<u8> = response.body.iter().copied().take(200).collect();
                self.tally.borrow_mut().explain(format_args!(
                    "{} {}",
                    response.status,
                    String::from_utf8_lossy(&start)
                ));
            }
            if now >= self.pace.end {
                return Ok(());
            }
            if sent >= self.pace.count_from {
                self.tally.borrow_mut().record(outcome, now - sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling;
    use crate::workload::Echo;

    async fn ceiling_server() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(ceiling::serve(listener));
        address
    }

    fn plan(rate: Option<f64>) -> Plan {
        Plan {
            connections: 5,
            threads: 2,
            warm_up: Duration::from_millis(20),
            span: Duration::from_millis(200),
            rate,
        }
    }

    async fn run(address: SocketAddr, plan: Plan) -> Tally {
        tokio::task::spawn_blocking(move || drive(address, plan, Echo::new))
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_closed_loop_counts_answers() {
        let tally = run(ceiling_server().await, plan(None)).await;
        assert_eq!(tally.failed, 0, "{tally}");
        assert!(tally.done > 10, "{tally}");
        assert_eq!(tally.latency.len(), tally.done);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_open_loop_keeps_its_rate() {
        let tally = run(ceiling_server().await, plan(Some(100.0))).await;
        assert_eq!(tally.failed, 0, "{tally}");
        // 0.2 s at 100/s, give or take the ends; never more than was asked for.
        assert!((1..=21).contains(&tally.done), "{tally}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_is_not_there_is_an_error_for_every_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let tally = run(address, plan(None)).await;
        assert_eq!((tally.done, tally.failed), (0, 5));
        assert!(tally.first_failure.is_some());
    }
}
