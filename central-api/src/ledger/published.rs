//! What readers see of the ledger: the view, the recent events, where the log stands.
//!
//! One value that everybody shares, so that a list, a feed and a snapshot speak of the same log. The
//! flusher alone changes it, frame by frame, and in this order: ring, generations, API keys, products, then
//! orders and reservations and the head, which are one for readers. Whoever has seen a head therefore
//! finds everything below it, and whoever has seen an order finds a head that has come so far.
//!
//! What must stay true: everything in here is durable. What the writer has decided but not synced is
//! nowhere in here, and reading never makes the writer wait. Older records are read from the journal,
//! which may block: requests do that through [`Published::read_old`], everybody else on a blocking
//! thread of its own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use shared::clock::Timestamp;
use shared::domain::inventory::state::Entry;
use shared::limits;
use shared::view::{Catalogue, Head};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::access::AccessBook;
use super::books::Books;
use super::fold::Fold;
use super::herald::{Heralds, Moved, Replies};
use super::keys::{KeyRetention, Retention};
use super::order_index::OrderIndex;
use super::publication::Publication;
use super::snapshot::{Copied, Cut, entries_of};
use crate::feed::answer::SharedSlices;
use crate::feed::ring::{Chunk, Ring};
use crate::journal::record::Spans;
use crate::journal::{Flush, Generation, JournalError, JournalReader, LogGen, Record, Stream};
use crate::metrics::{FeedMetrics, LedgerMetrics};

#[cfg(test)]
mod tests;

/// What readers see: everything in here is durable.
#[derive(Debug)]
pub struct Published {
    /// The catalogue.
    pub view: Catalogue,
    /// Reservations and orders.
    pub books: Books,
    /// API keys.
    pub access: AccessBook,
    /// Recent events of products.
    pub ring: Ring,
    /// Recent events of orders.
    pub order_ring: Ring,
    /// Answers of the feed that others may want too.
    pub slices: SharedSlices,
    /// Older ones.
    pub journal: Arc<dyn JournalReader>,
    /// What was decided and synced, counted.
    pub metrics: LedgerMetrics,
    /// What followers were given, counted.
    pub feed_metrics: FeedMetrics,
    heralds: Heralds,
    generations: RwLock<Vec<Generation>>,
    retention: Retention,
    /// Finds orders that are not in the books any more.
    pub(super) order_index: OrderIndex,
    newest_snapshot: Mutex<Option<SnapshotMark>>,
    /// Turns of requests that read old parts of the log.
    log_readers: Arc<Semaphore>,
    durable: Mutex<Durable>,
}

/// How the last frames became durable.
#[derive(Clone, Copy, Debug)]
struct Durable {
    /// When the last one did.
    at: Instant,
    /// When the sync began that is under way.
    syncing_since: Option<Instant>,
}

/// Where a snapshot of the state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The last record in it.
    pub seq: u64,
    /// When that was decided.
    pub at: Timestamp,
}

impl Published {
    /// What there is at the start: everything so far goes into the view as it stands, and the ring
    /// begins empty.
    pub(super) fn new(
        fold: &Fold,
        head: Head,
        journal: Arc<dyn JournalReader>,
        keys: KeyRetention,
        homes: &[Handle],
    ) -> Self {
        let metrics = LedgerMetrics::default();
        metrics.remembers(fold.keys.len());
        Self {
            metrics,
            feed_metrics: FeedMetrics::default(),
            newest_snapshot: Mutex::default(),
            log_readers: Arc::new(Semaphore::new(limits::LOG_READERS)),
            // The first record of this life of the log has just been synced.
            durable: Mutex::new(Durable {
                at: Instant::now(),
                syncing_since: None,
            }),
            view: Catalogue::load(entries_of(fold), head),
            books: Books::of(&fold.state),
            access: AccessBook::of(&fold.state.access, fold.seq),
            ring: Ring::new(limits::FEED_RING_BYTES),
            order_ring: Ring::new(limits::FEED_RING_BYTES),
            slices: SharedSlices::default(),
            journal,
            heralds: Heralds::start(head, homes),
            generations: RwLock::new(fold.generations.clone()),
            retention: Retention {
                keys,
                ended_orders: fold.state.orders.ended_kept(),
            },
            order_index: OrderIndex::default(),
        }
    }

    /// Recent events of one feed.
    #[must_use]
    pub const fn ring_of(&self, stream: Stream) -> &Ring {
        match stream {
            Stream::Inventory => &self.ring,
            Stream::Orders => &self.order_ring,
        }
    }

    /// Empty answers, by lane.
    pub(super) fn no_replies(&self) -> Vec<Replies> {
        self.heralds.no_replies()
    }

    /// The lane of the worker that runs this.
    pub(super) fn lane_here(&self) -> usize {
        self.heralds.lane_here()
    }

    /// Where the log stands.
    #[must_use]
    pub fn head(&self) -> Head {
        self.heralds.head()
    }

    /// Watches where the log stands. For few; the many who poll have [`moves`](Self::moves).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.heralds.watch()
    }

    /// Changes whenever the head has moved. Subscribe, then read [`head`](Self::head), then wait.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<()> {
        self.heralds.moves()
    }

    /// The same for those who follow orders alone.
    #[must_use]
    pub fn order_moves(&self) -> watch::Receiver<()> {
        self.heralds.order_moves()
    }

    /// Whether so many wait that a reader who finds a few events should wait for the next move, which
    /// is announced soon in any case. Subscribe first.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.heralds.is_pressed()
    }

    /// How many wait for the head to move: polls that wait for the next event, and streams.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.heralds.readers()
    }

    /// The lives of the log, oldest first.
    #[must_use]
    pub fn generations(&self) -> Vec<Generation> {
        self.generations.read().clone()
    }

    /// The present life of the log.
    #[must_use]
    pub fn log_gen(&self) -> LogGen {
        self.generations
            .read()
            .last()
            .map_or(LogGen(0), |generation| generation.log_gen)
    }

    /// Reads old parts of the log for a request: on a thread that may wait for a disk, and with few
    /// others, for they share that disk with the writer.
    ///
    /// # Errors
    /// [`JournalError::Busy`] if too many wait already; otherwise what the log says.
    pub async fn read_old<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let turn = Arc::clone(&self.log_readers).acquire_owned();
        let turn = tokio::time::timeout(limits::LOG_READER_WAIT, turn).await;
        let Ok(Ok(turn)) = turn else {
            return Err(JournalError::Busy);
        };
        let published = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            // Given back when the read has ended, whether or not anybody still waits for it.
            let _turn = turn;
            read(&published)
        });
        work.await.unwrap_or_else(|cut_short| {
            Err(JournalError::Panicked {
                thread: "log-reader",
                what: cut_short.to_string(),
            })
        })
    }

    /// Reads one record back; `None` if there is none with this number.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, JournalError> {
        let frames = self.journal.frames_from_seq(seq, 1)?;
        let Some(frame) = frames.first() else {
            return Ok(None);
        };
        let Some(line) = frame.line_of(seq) else {
            return Ok(None);
        };
        Record::parse(line)
            .map(Some)
            .map_err(|error| frame.damaged(error.to_string()))
    }

    /// Seq of the first record that was decided at `at` or later, by bisection: time never goes back
    /// in the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn first_seq_at_or_after(&self, at: Timestamp) -> Result<u64, JournalError> {
        let (mut low, mut high) = (self.journal.oldest().seq, self.head().seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle)? {
                Some(record) if record.at < at => low = middle + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// How long ago the last frame became durable.
    #[must_use]
    pub fn since_durable(&self) -> Duration {
        self.durable.lock().at.elapsed()
    }

    /// For how long the journal has been syncing the frame that is in flight.
    #[must_use]
    pub fn syncing_for(&self) -> Duration {
        let since = self.durable.lock().syncing_since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Runs the sync of a frame, and notes when it began and that it has ended.
    pub(super) fn sync(&self, flush: Flush) -> Result<(), JournalError> {
        self.durable.lock().syncing_since = Some(Instant::now());
        flush.run()?;
        *self.durable.lock() = Durable {
            at: Instant::now(),
            syncing_since: None,
        };
        Ok(())
    }

    /// Where the newest snapshot stands; `None` before the first.
    #[must_use]
    pub fn newest_snapshot(&self) -> Option<SnapshotMark> {
        *self.newest_snapshot.lock()
    }

    /// Notes that there is a snapshot at `seq` from before this process. Blocking.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn found_snapshot(&self, seq: u64) -> Result<(), JournalError> {
        let at = self.record(seq)?.map(|record| record.at);
        *self.newest_snapshot.lock() = at.map(|at| SnapshotMark { seq, at });
        Ok(())
    }

    /// Writes a snapshot of what is published, and returns its record and its bytes. Takes a while;
    /// the writer goes on meanwhile.
    ///
    /// # Errors
    /// The log cannot be read or the snapshot cannot be written; the old snapshots are still there.
    pub fn take_snapshot(&self) -> Result<(u64, u64), JournalError> {
        let since = self.view.head().seq;
        let mut copied = Vec::with_capacity(self.view.known());
        self.view.for_each(|published, last_record| {
            copied.push(Entry {
                product: published.product.clone(),
                live: published.live,
                last_record,
            });
        });
        let copied = Copied {
            entries: copied,
            reservations: self.books.copy_reservations(),
            orders: self.books.copy_orders(),
            access: self.access.copy(),
        };
        let cut = Cut::complete(copied, since, &*self.journal, self.retention)?;
        let mut bytes = 0;
        let mut parts = cut.parts().inspect(|part| bytes += part.len() as u64);
        self.journal.write_snapshot(cut.seq(), &mut parts)?;
        drop(parts);
        *self.newest_snapshot.lock() = Some(SnapshotMark {
            seq: cut.seq(),
            at: cut.at(),
        });
        Ok((cut.seq(), bytes))
    }

    /// Shows what is durable, and then tells those who wait for it.
    pub(super) fn publish(&self, mut publication: Publication, replies: Vec<Replies>) {
        let head = publication.head;
        if let Some((frame, spans)) = publication.frame.take() {
            let Spans { inventory, orders } = spans;
            let inventory = Chunk::new(&frame, Stream::Inventory, inventory);
            self.ring.push(inventory, (head.offset, head.digest));
            if !orders.is_empty() {
                let orders = Chunk::new(&frame, Stream::Orders, orders);
                self.order_ring.push(orders, (head.orders, 0));
            }
        }
        if !publication.generations.is_empty() {
            let generations = publication.generations.drain(..);
            self.generations.write().extend(generations);
        }
        for decided in &publication.decided {
            let keys = &decided.decision.api_keys;
            if let Some(seq) = decided.seq.filter(|_| !keys.is_empty()) {
                self.access.put(keys, seq);
            }
        }
        let mut moved = Moved::default();
        publication.show(&self.view, &self.books, |head| {
            moved = self.heralds.move_to(head);
        });
        self.heralds.tell(moved, replies);
    }
}
