//! Thousands of parked long polls: what each costs, and how soon one event reaches them all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::compare::mebibytes;
use super::say;
use super::world::Site;
use crate::client::Connection;
use crate::drive::Workload;
use crate::request::Template;
use crate::server::until;
use crate::tally::{Millis, Outcome, Tally};
use crate::workload::{KEY, Updates};

/// Products in the catalogue; the feed does not care.
const PRODUCTS: usize = 1_000;
/// Client threads.
const THREADS: usize = 2;
/// Connections that a thread opens at the same time, so as not to overrun the listener's backlog.
const OPENING: usize = 128;
/// How long the polls may take to be parked, and an event to reach them.
const LIMIT: Duration = Duration::from_secs(60);

/// Parks `polls` long polls at central, then writes `events` times and waits each time until
/// every poll has been answered and is parked again.
///
/// # Errors
/// If central cannot be started, or polls are lost.
pub async fn feed(site: &Site, polls: usize, events: usize) -> io::Result<()> {
    let central = site.central(PRODUCTS).await?;
    let head = head(central.address).await?;
    let before = central.memory().unwrap_or(0);
    let (delivered, mut deliveries) = mpsc::unbounded_channel();
    let parked = Arc::new(AtomicUsize::new(0));
    for share in 0..THREADS {
        let count = polls / THREADS + usize::from(share < polls % THREADS);
        let (address, delivered) = (central.address, delivered.clone());
        let parked = Arc::clone(&parked);
        thread::Builder::new()
            .name("polls".into())
            .spawn(move || park(address, count, head, &parked, &delivered))?;
    }
    until("parking the polls", LIMIT, || async {
        parked.load(Ordering::SeqCst) >= polls
    })
    .await?;
    // The last requests are on their way: give them time to arrive and to settle.
    sleep(Duration::from_secs(2)).await;
    let cost = central.memory().unwrap_or(0).saturating_sub(before);
    say(format_args!(
        "{polls} parked polls: {:.1} MiB before, {:.1} MiB more, {:.1} KiB a poll",
        mebibytes(before),
        mebibytes(cost),
        mebibytes(cost) * 1024.0 / crate::tally::count(u64::try_from(polls).unwrap_or(u64::MAX)),
    ));
    let mut writer = Writer::open(central.address).await?;
    for round in 1..=events {
        let (sent, answered) = writer.write().await?;
        let tally = timeout(LIMIT, gather(&mut deliveries, polls, sent))
            .await
            .map_err(|_| io::Error::other("an event did not reach every poll"))?;
        say(format_args!(
            "event {round}: write answered after {}, poll answers p50 {} p99 {} last {}, errors {}",
            Millis(answered),
            Millis(tally.quantile(0.5)),
            Millis(tally.quantile(0.99)),
            Millis(tally.longest()),
            tally.failed,
        ));
        // Let every poll be parked again.
        sleep(Duration::from_secs(1)).await;
    }
    central.stop().await
}

/// When each of `polls` polls was answered, counted from `sent`.
async fn gather(
    deliveries: &mut mpsc::UnboundedReceiver<io::Result<Instant>>,
    polls: usize,
    sent: Instant,
) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..polls {
        match deliveries.recv().await {
            Some(Ok(at)) => tally.record(Outcome::Done(1), at.saturating_duration_since(sent)),
            Some(Err(error)) => tally.fail(error),
            None => tally.fail("the pollers are gone"),
        }
    }
    tally
}

/// One thread's polls, until the server goes away.
fn park(
    address: SocketAddr,
    polls: usize,
    head: i64,
    parked: &Arc<AtomicUsize>,
    delivered: &mpsc::UnboundedSender<io::Result<Instant>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let opening = Arc::new(tokio::sync::Semaphore::new(OPENING));
        let tasks: Vec<_> = (0..polls)
            .map(|_| {
                let (opening, delivered) = (Arc::clone(&opening), delivered.clone());
                let parked = Arc::clone(parked);
                tokio::task::spawn_local(async move {
                    let poller = poll(address, head, &opening, &parked, &delivered);
                    if let Err(error) = poller.await {
                        drop(delivered.send(Err(error)));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        Ok(())
    })
}

/// One poll after the other from `offset` on.
async fn poll(
    address: SocketAddr,
    mut offset: i64,
    opening: &tokio::sync::Semaphore,
    parked: &AtomicUsize,
    delivered: &mpsc::UnboundedSender<io::Result<Instant>>,
) -> io::Result<()> {
    let permit = opening.acquire().await.map_err(io::Error::other)?;
    let mut connection = Connection::open(address).await?;
    drop(permit);
    parked.fetch_add(1, Ordering::SeqCst);
    loop {
        let path = format!("/v1/inventory/events?offset={offset}&limit=100&wait=60");
        let response = connection.exchange(&Template::get(&path, KEY)).await?;
        let now = Instant::now();
        let next = next_offset(&response)?;
        if next > offset {
            if delivered.send(Ok(now)).is_err() {
                return Ok(());
            }
            offset = next;
        }
    }
}

fn next_offset(response: &crate::client::Response<'_>) -> io::Result<i64> {
    response
        .integer("nextOffset")
        .filter(|_| response.is_success())
        .ok_or_else(|| io::Error::other(format!("feed answer {}", response.status)))
}

/// The offset after the last event.
///
/// # Errors
/// If central does not answer as the contract says.
pub async fn head(central: SocketAddr) -> io::Result<i64> {
    let mut connection = Connection::open(central).await?;
    let path = "/v1/inventory/events?offset=0&limit=1";
    let response = connection.exchange(&Template::get(path, KEY)).await?;
    response
        .integer("headOffset")
        .ok_or_else(|| io::Error::other("the feed does not say where its head is"))
}

/// Writes one update after the other.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    updates: Updates,
    request: Vec<u8>,
}

impl Writer {
    /// A writer with a connection of its own.
    ///
    /// # Errors
    /// If central cannot be reached.
    pub async fn open(central: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(central).await?,
            updates: Updates::new("/v1/inventory/updates", 0..PRODUCTS, 0),
            request: Vec::new(),
        })
    }

    /// Writes once: when it was sent, and how long the answer took.
    ///
    /// # Errors
    /// If it is not carried out.
    pub async fn write(&mut self) -> io::Result<(Instant, Duration)> {
        self.updates.request(&mut self.request);
        let sent = Instant::now();
        let response = self.connection.exchange(&self.request).await?;
        if response.is_success() {
            Ok((sent, sent.elapsed()))
        } else {
            Err(io::Error::other(format!("a write got {}", response.status)))
        }
    }
}
