//! What is read from the feeds and what leaves them: counted once an answer, however many events.

use prometheus::{IntCounter, IntCounterVec};
use shared::service::metrics::{Metrics, counters};

use crate::journal::Stream;

/// Where the events of an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An answer that was put together for somebody else.
    Shared,
    /// The ring of recent events.
    Ring,
    /// The journal's files.
    Journal,
}

/// One counter for each of the two feeds.
#[derive(Debug)]
struct PerFeed {
    inventory: IntCounter,
    orders: IntCounter,
}

impl PerFeed {
    fn of(counters: &IntCounterVec) -> Self {
        let counter = |stream: Stream| counters.with_label_values(&[stream.as_str()]);
        Self {
            inventory: counter(Stream::Inventory),
            orders: counter(Stream::Orders),
        }
    }

    const fn get(&self, stream: Stream) -> &IntCounter {
        match stream {
            Stream::Inventory => &self.inventory,
            Stream::Orders => &self.orders,
        }
    }
}

/// What the feeds count.
#[derive(Debug)]
pub struct FeedMetrics {
    reads: IntCounterVec,
    shared: IntCounter,
    ring: IntCounter,
    journal: IntCounter,
    events: IntCounterVec,
    events_of: PerFeed,
    polls: IntCounterVec,
    full: PerFeed,
    empty: PerFeed,
}

impl Default for FeedMetrics {
    fn default() -> Self {
        let reads = counters(
            "holdfast_feed_reads_total",
            "Reads of events for followers, by where they came from: an answer shared with others, the ring in memory, or the journal's files.",
            &["source"],
            &[],
        );
        let [shared, ring, journal] =
            ["shared", "ring", "journal"].map(|source| reads.with_label_values(&[source]));
        let events = counters(
            "holdfast_feed_events_delivered_total",
            "Events that were handed to followers, each as often as it was handed out.",
            &["feed"],
            &[],
        );
        let polls = counters(
            "holdfast_feed_polls_total",
            "Polls that were answered, with events or, after waiting in vain, without.",
            &["feed", "outcome"],
            &[],
        );
        let outcome = |outcome: &str| {
            let counter = |stream: Stream| polls.with_label_values(&[stream.as_str(), outcome]);
            PerFeed {
                inventory: counter(Stream::Inventory),
                orders: counter(Stream::Orders),
            }
        };
        Self {
            full: outcome("events"),
            empty: outcome("empty"),
            events_of: PerFeed::of(&events),
            shared,
            ring,
            journal,
            reads,
            events,
            polls,
        }
    }
}

impl FeedMetrics {
    /// Events were read.
    pub fn read(&self, source: Source) {
        match source {
            Source::Shared => self.shared.inc(),
            Source::Ring => self.ring.inc(),
            Source::Journal => self.journal.inc(),
        }
    }

    /// A poll was answered with so many events.
    pub fn polled(&self, stream: Stream, events: usize) {
        let polls = if events == 0 { &self.empty } else { &self.full };
        polls.get(stream).inc();
        self.delivered(stream, events);
    }

    /// So many events were handed to a follower.
    pub fn delivered(&self, stream: Stream, events: usize) {
        if events > 0 {
            self.events_of.get(stream).inc_by(events as u64);
        }
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register(self.reads.clone());
        metrics.register(self.events.clone());
        metrics.register(self.polls.clone());
    }
}
