//! Many holds that run out within a minute, and what updates notice of it.
//!
//! Updates come at a steady rate, in turns: a span in which nothing happens to the holds, and one in
//! which some run out, so that a noisy neighbour or a snapshot meets both. Latency counts from the
//! time at which a request should have been sent, so a stall that keeps later requests waiting shows.
//! A hold that is still there at the end is an error.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::compare::driven;
use super::say;
use super::world::Site;
use crate::client::Connection;
use crate::drive::Plan;
use crate::request::Template;
use crate::tally::{Millis, Tally};
use crate::workload::{Holds, KEY, Updates};

/// Products in the catalogue.
const PRODUCTS: usize = 10_000;
/// Connections that make holds, and that update.
const CONNECTIONS: usize = 64;
/// Spans in which holds run out; between two of them is one in which none does.
const TURNS: u32 = 10;
/// Time in which all holds must have been made.
const MAKING: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Holds that run out.
    pub holds: usize,
    /// Updates a second.
    pub rate: f64,
    /// Time within which they run out, all turns together.
    pub within: Duration,
}

/// Measures and prints.
///
/// # Errors
/// If central cannot be started, or the holds are not made in time or do not run out.
pub async fn expiry(site: &Site, settings: Settings) -> io::Result<()> {
    let span = settings.within / TURNS;
    let central = site.central(PRODUCTS).await?;
    let begin = Instant::now() + MAKING;
    let plan = Plan {
        connections: CONNECTIONS,
        threads: 1,
        warm_up: Duration::ZERO,
        span: Duration::from_secs(1),
        rate: None,
    };
    let wanted = u64::try_from(settings.holds).unwrap_or(u64::MAX);
    let mut made = 0;
    while made < wanted {
        let spans: Vec<Instant> = (0..TURNS)
            .map(|turn| begin + span * (turn * 2 + 1))
            .collect();
        let holds = move |index| Holds::new(0..PRODUCTS, spans.clone(), span, index);
        let tally = driven(central.address, plan, holds).await?;
        made += tally.done;
        if tally.failed > 0 || Instant::now() > begin {
            return Err(io::Error::other(format!("making {made} holds: {tally}")));
        }
    }
    let (mut calm, mut busy) = (Vec::new(), Vec::new());
    for turn in 0..TURNS * 2 {
        sleep_until(begin + span * turn).await;
        let plan = Plan {
            // What is still on its way at the end of a turn does not reach into the next.
            span: span.saturating_sub(Duration::from_millis(500)),
            rate: Some(settings.rate),
            ..plan
        };
        let updates = |index| Updates::new("/v1/inventory/updates", 0..PRODUCTS, index);
        let tally = driven(central.address, plan, updates).await?;
        let kind = if turn % 2 == 0 { &mut calm } else { &mut busy };
        kind.push(tally);
    }
    sleep_until(begin + span * (TURNS * 2) + Duration::from_secs(2)).await;
    none_is_active(central.address).await?;
    say(format_args!(
        "{made} holds ran out within {} s; updates at {}/s, {CONNECTIONS} connections, {TURNS} turns each",
        settings.within.as_secs(),
        settings.rate
    ));
    print("none runs out", &calm);
    print("running out", &busy);
    central.stop().await
}

/// All turns together, and the slowest percent of each: a stall of another origin is in one turn.
fn print(name: &str, turns: &[Tally]) {
    let mut all = Tally::default();
    turns.iter().for_each(|turn| all.append(turn));
    let mut p99: Vec<Duration> = turns.iter().map(|turn| turn.quantile(0.99)).collect();
    p99.sort_unstable();
    let p99: Vec<String> = p99.into_iter().map(|it| Millis(it).to_string()).collect();
    say(format_args!("{name:<14} {all}"));
    say(format_args!(
        "{:<14} p99 of each turn: {}",
        "",
        p99.join(", ")
    ));
}

/// Fails if a hold is still there.
async fn none_is_active(central: SocketAddr) -> io::Result<()> {
    let mut connection = Connection::open(central).await?;
    let request = Template::get("/v1/reservations?state=active&limit=1", KEY);
    let response = connection.exchange(&request).await?;
    let body = String::from_utf8_lossy(response.body).into_owned();
    if response.is_success() && !body.contains("reservationId") {
        return Ok(());
    }
    Err(io::Error::other(format!("holds did not run out: {body}")))
}
