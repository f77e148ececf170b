//! What changes, as it changes, for a page in a browser: the console's at central and the shop's at
//! a store.
//!
//! Named events: `product` (an event of the log, `id` is its offset), `order` (an event of the order
//! feed, where the source has one), `sync` (how things stand, first of all and then whenever it is
//! otherwise), `ping` every ten seconds, `resync` (events were passed over: load the page's data
//! anew). A browser that comes back says which offset it saw last, in `Last-Event-ID`, and goes on
//! from there.
//!
//! There is one id and two feeds, so the id is always the offset of the last product event that was
//! sent, or of the newest when the page came: the first `sync` and each `order` repeat it. Whoever
//! comes back with it is told every order event since that product event, so some come twice; each has
//! the whole order with its version, and the same version is the same order. None is missing, because a
//! source tells orders before the products that became durable with them.
//!
//! Nothing is buffered for a slow reader: it reads from the log at its own pace, and where it cannot
//! or should not be led through it, the source says `resync`. What that means, and what a `sync`
//! says, is the source's: [`Source`] is all that the two services do differently.

use std::time::Duration;

use axum::response::Response;
use axum::response::sse::Event;
use http::HeaderMap;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::sse::{self, LAST_EVENT_ID, PING_EVERY};

/// Time between two looks at how things stand.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Events sent at once.
const RUN: usize = 256;

/// What a page is to be told next.
#[derive(Debug)]
pub enum News {
    /// Nothing at the moment.
    None,
    /// The next events of the log, dense.
    Events(Vec<String>),
    /// The next events of orders, which do not move the offset.
    Orders(Vec<String>),
    /// Events were passed over; the next one is at this offset.
    Resync(u64),
    /// Nothing ever again; the browser comes back by itself.
    End,
}

/// Where one page's events come from.
pub trait Source: Send + 'static {
    /// What there is from offset `next` on, about `limit` events of it. Looks at the head before it
    /// reads, so that [`Source::moved`] tells of everything that is not in the answer.
    fn news(&mut self, next: u64, limit: usize) -> impl Future<Output = News> + Send;

    /// Waits until the log has moved since the last look; `false` when it never will again.
    fn moved(&mut self) -> impl Future<Output = bool> + Send;

    /// How things stand, as JSON, if otherwise than last told; at first always.
    fn sync(&mut self) -> Option<String>;
}

/// Streams to one page until `shutdown`, or until its key `ended`. A page that names no event in
/// `headers` begins at `head`.
pub fn page<S, U>(
    source: S,
    headers: &HeaderMap,
    head: u64,
    shutdown: CancellationToken,
    ended: U,
) -> Response
where
    S: Source,
    U: Future<Output = ()> + Send + 'static,
{
    let last = headers.get(LAST_EVENT_ID);
    // A browser sends back what it was sent; whatever else this is, it names no event.
    let last: Option<u64> = last.and_then(|last| last.to_str().ok()?.parse().ok());
    let every = |period| {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let page = Page {
        source,
        next: last.map_or(head, |last| last.saturating_add(1)),
        begun: false,
        pings: every(PING_EVERY),
        looks: every(SYNC_EVERY),
        shutdown,
    };
    let runs = futures_util::stream::unfold(page, |mut page| async {
        let events = page.wait().await?;
        Some((events, page))
    });
    sse::bare(runs, ended)
}

/// One reader.
struct Page<S> {
    source: S,
    /// The next offset to send.
    next: u64,
    begun: bool,
    pings: Interval,
    looks: Interval,
    shutdown: CancellationToken,
}

impl<S: Source> Page<S> {
    /// What is to be sent next; `None` at the end.
    async fn wait(&mut self) -> Option<Vec<Event>> {
        // First of all, so that a browser that comes back to another log learns it before anything.
        if !std::mem::replace(&mut self.begun, true)
            && let Some(sync) = self.source.sync()
        {
            // With its place, for a page whose line breaks before anything happens.
            return Some(vec![self.placed(named("sync", sync))]);
        }
        loop {
            match self.source.news(self.next, RUN).await {
                News::None => {}
                News::Events(texts) => return Some(self.products(texts)),
                News::Orders(texts) => return Some(self.orders(texts)),
                News::Resync(next) => return Some(vec![self.resync(next)]),
                News::End => return None,
            }
            tokio::select! {
                moved = self.source.moved() => if !moved {
                    return None;
                },
                _ = self.pings.tick() => return Some(vec![named("ping", "{}")]),
                _ = self.looks.tick() => if let Some(sync) = self.source.sync() {
                    return Some(vec![named("sync", sync)]);
                },
                () = self.shutdown.cancelled() => return None,
            }
        }
    }

    fn products(&mut self, texts: Vec<String>) -> Vec<Event> {
        let mut events = Vec::with_capacity(texts.len());
        for text in texts {
            events.push(named("product", text).id(self.next.to_string()));
            self.next += 1;
        }
        events
    }

    fn orders(&self, texts: Vec<String>) -> Vec<Event> {
        let event = |text| self.placed(named("order", text));
        texts.into_iter().map(event).collect()
    }

    fn resync(&mut self, next: u64) -> Event {
        self.next = next;
        self.placed(named("resync", format!("{{\"offset\":{next}}}")))
    }

    /// The event with the id of the last product event, from where a reconnect goes on.
    fn placed(&self, event: Event) -> Event {
        match self.next.checked_sub(1) {
            Some(last) => event.id(last.to_string()),
            None => event,
        }
    }
}

fn named(name: &str, data: impl AsRef<str>) -> Event {
    Event::default().event(name).data(data)
}
