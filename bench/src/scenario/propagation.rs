//! From "written" to "visible elsewhere".
//!
//! Writes go to central at a steady rate. Followers hold long polls, each on a connection of its
//! own, and note when each offset reaches them; one real store is asked for the product as soon as
//! the write is answered, until it shows the offset. Time counts from the answer to the writer:
//! what is visible earlier than that counts as 0.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::say;
use super::world::Site;
use crate::client::{Connection, Response};
use crate::drive::Workload;
use crate::request::Template;
use crate::scenario::feed::head;
use crate::tally::{Outcome, Tally};
use crate::workload::{KEY, Updates, product_id};

/// Products in the catalogue.
const PRODUCTS: usize = 1_000;
/// Answers of a store that may be too old before the bench gives up on a write.
const LOOKS: usize = 10_000;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Followers with a long poll each.
    pub followers: usize,
    /// Writes a second.
    pub rate: f64,
    /// For how long.
    pub span: Duration,
    /// Whether a real store is among the readers.
    pub store: bool,
}

/// When an offset was answered to the writer, or reached a follower.
type Sighting = (i64, Instant);

/// Measures and prints.
///
/// # Errors
/// If a server cannot be started or a write is refused.
pub async fn propagation(site: &Site, settings: Settings) -> io::Result<()> {
    let central = site.central(PRODUCTS).await?;
    let store = if settings.store {
        Some(site.store("store-s1", central.address, PRODUCTS).await?)
    } else {
        None
    };
    let first = head(central.address).await?;
    let parked = Arc::new(AtomicI64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let followers = {
        let (address, parked, done) = (central.address, Arc::clone(&parked), Arc::clone(&done));
        thread::Builder::new()
            .name("followers".into())
            .spawn(move || follow_all(address, settings.followers, first, &parked, &done))?
    };
    let expected = i64::try_from(settings.followers).unwrap_or(i64::MAX);
    crate::server::until("parking the followers", Duration::from_secs(60), || async {
        parked.load(Ordering::SeqCst) >= expected
    })
    .await?;
    sleep(Duration::from_millis(500)).await;

    let reader = store.as_ref().map(|store| store.address);
    let (answered, latency, visible) = write_all(central.address, reader, settings).await?;
    sleep(Duration::from_secs(1)).await;
    done.store(true, Ordering::SeqCst);
    central.stop().await?;
    let seen = followers
        .join()
        .map_err(|_| io::Error::other("the follower thread panicked"))??;

    say(format_args!(
        "{} followers, {} writes at {}/s",
        settings.followers,
        answered.len(),
        settings.rate
    ));
    print("write", &latency);
    print("visible to followers", &reached(&answered, &seen));
    if let Some(store) = store {
        print("visible at the store", &visible);
        store.stop().await?;
    }
    Ok(())
}

fn print(name: &str, tally: &Tally) {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| crate::tally::Millis(tally.quantile(share)));
    say(format_args!(
        "{name:<22} p50 {p50:>9}  p99 {p99:>9}  max {max:>9}  of {}  missed {}",
        tally.done, tally.failed
    ));
}

/// Joins what was answered with what each follower saw; an offset that a follower did not see
/// counts as failed.
fn reached(answered: &[Sighting], seen: &[Vec<Sighting>]) -> Tally {
    let mut tally = Tally::default();
    for sightings in seen {
        let mut sightings = sightings.iter().copied().peekable();
        for (offset, at) in answered {
            while sightings.next_if(|(seen, _)| seen < offset).is_some() {}
            match sightings.next_if(|(seen, _)| seen == offset) {
                Some((_, arrived)) => {
                    tally.record(Outcome::Done(1), arrived.saturating_duration_since(*at));
                }
                None => tally.fail("not seen"),
            }
        }
    }
    tally
}

/// Writes at the set rate; gives the answered offsets, the writer's latency, and how long it took
/// until `store` showed each write.
async fn write_all(
    central: SocketAddr,
    store: Option<SocketAddr>,
    settings: Settings,
) -> io::Result<(Vec<Sighting>, Tally, Tally)> {
    let mut updates = Updates::new("/v1/inventory/updates", 0..PRODUCTS, 0);
    let mut connection = Connection::open(central).await?;
    let mut reader = match store {
        Some(address) => Some(Connection::open(address).await?),
        None => None,
    };
    let mut ticks = interval(Duration::from_secs_f64(1.0 / settings.rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let end = Instant::now() + settings.span;
    let (mut answered, mut request) = (Vec::new(), Vec::new());
    let (mut latency, mut visible) = (Tally::default(), Tally::default());
    while ticks.tick().await < end {
        updates.request(&mut request);
        let sent = Instant::now();
        let response = connection.exchange(&request).await?;
        let at = Instant::now();
        let offset = response
            .integer("offset")
            .filter(|_| response.is_success())
            .ok_or_else(|| io::Error::other(format!("a write got {}", response.status)))?;
        latency.record(Outcome::Done(1), at - sent);
        answered.push((offset, at));
        if let Some(reader) = &mut reader {
            if shows(reader, offset).await? {
                visible.record(Outcome::Done(1), at.elapsed());
            } else {
                visible.fail("never shown");
            }
        }
    }
    Ok((answered, latency, visible))
}

/// Asks the store until it has reached `offset`. It may wait for that itself (`X-Min-Offset`).
async fn shows(store: &mut Connection, offset: i64) -> io::Result<bool> {
    let path = format!("/v1/store/inventory/{}", product_id(0));
    let wanted = offset.to_string();
    let headers = [("x-api-key", KEY), ("x-min-offset", wanted.as_str())];
    let mut request = Vec::new();
    Template::new("GET", &path, &headers).without_body(&mut request);
    for _ in 0..LOOKS {
        let response = store.exchange(&request).await?;
        let reached = response
            .header("x-sync-offset")
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|reached| reached >= offset);
        if reached {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The followers of this process, on one thread; gives what each has seen.
fn follow_all(
    central: SocketAddr,
    followers: usize,
    first: i64,
    parked: &Arc<AtomicI64>,
    done: &Arc<AtomicBool>,
) -> io::Result<Vec<Vec<Sighting>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..followers)
            .map(|_| {
                let (parked, done) = (Arc::clone(parked), Arc::clone(done));
                tokio::task::spawn_local(async move {
                    let mut seen = Vec::new();
                    let result = follow(central, first, &parked, &done, &mut seen).await;
                    // That the server goes away at the end is how a follower ends.
                    match result {
                        Err(error) if !done.load(Ordering::SeqCst) => Err(error),
                        Ok(()) | Err(_) => Ok(seen),
                    }
                })
            })
            .collect();
        let mut all = Vec::with_capacity(tasks.len());
        for task in tasks {
            all.push(task.await.map_err(io::Error::other)??);
        }
        Ok(all)
    })
}

/// One follower: long polls from `offset` on; dense offsets or an error.
async fn follow(
    central: SocketAddr,
    mut offset: i64,
    parked: &AtomicI64,
    done: &AtomicBool,
    seen: &mut Vec<Sighting>,
) -> io::Result<()> {
    let mut connection = Connection::open(central).await?;
    parked.fetch_add(1, Ordering::SeqCst);
    while !done.load(Ordering::SeqCst) {
        let path = format!("/v1/inventory/events?offset={offset}&limit=1000&wait=25");
        let response = connection.exchange(&Template::get(&path, KEY)).await?;
        let now = Instant::now();
        let next = next_offset(&response)?;
        seen.extend((offset..next).map(|offset| (offset, now)));
        offset = next;
    }
    Ok(())
}

fn next_offset(response: &Response<'_>) -> io::Result<i64> {
    response
        .integer("nextOffset")
        .filter(|_| response.is_success())
        .ok_or_else(|| io::Error::other(format!("feed answer {}", response.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_that_a_follower_did_not_see_is_missed() {
        let at = Instant::now();
        let later = at + Duration::from_millis(3);
        let answered = [(5, at), (7, at)];
        let seen = [
            vec![(5, later), (6, later), (7, later)],
            vec![(5, later), (6, later)],
        ];
        let tally = reached(&answered, &seen);
        assert_eq!((tally.done, tally.failed), (3, 1));
        assert!(tally.longest() >= Duration::from_millis(2));
    }
}
