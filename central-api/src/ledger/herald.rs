//! Telling those who wait: answers to callers, and to readers that the log has moved.
//!
//! The flusher knows that a frame is durable; those who wait for it are tasks on the workers'
//! runtimes. Waking a task from a foreign thread costs a system call and from its own thread none,
//! so the flusher sends each worker one message and a task there wakes everybody.
//!
//! ```text
//! flusher ─▶ one message a worker ─▶ answers ─▶ callers
//!                                    └▶ sweep ─▶ shard, pause, shard, pause … ─▶ long polls
//! ```
//!
//! Callers come first. Readers are woken shard by shard with everything else that is ready in
//! between, so ten thousand of them do not hold up an answer. After a sweep that took a while comes
//! a rest of the same length, up to [`REST_MAX`], and then another sweep. Meanwhile the worker is
//! *pressed*: readers who come back and find a few events wait for that sweep instead of taking them
//! one by one. So under a stream of writes a thousand readers each get one answer a sweep, with all
//! that happened since the last. The rest is short on purpose: what protects callers is that they
//! come between the shards, not the rest.
//!
//! Whoever follows orders alone has shards of its own, which are swept only when there is an order
//! event: every shop listens for its orders, and would otherwise be woken by everybody's sales.
//!
//! What must stay true: no reader misses a move. A reader subscribes, then reads the head, then
//! waits. Whoever moves the head does that before it looks whether there are readers. Both go
//! through the head's lock, so one of the two sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shared::service::workers;
use shared::view::Head;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::inbox::Reply;

/// Shards of a worker's readers: with ten thousand readers on two workers, some eighty are woken
/// before an answer gets its turn.
const SHARDS: usize = 64;
/// A sweep this short needs no rest behind it.
const SHORT_SWEEP: Duration = Duration::from_millis(1);
/// Longest rest between two sweeps.
const REST_MAX: Duration = Duration::from_millis(10);

/// What moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Either feed.
    any: bool,
    /// The feed of orders.
    orders: bool,
}

/// Callers, and the answers to their commands.
pub(super) type Replies = Vec<(oneshot::Sender<Reply>, Reply)>;

/// The head of the log, and everybody who waits for it to move.
#[derive(Debug)]
pub(super) struct Heralds {
    head: watch::Sender<Head>,
    lanes: Vec<Lane>,
}

/// One worker's side.
#[derive(Debug)]
struct Lane {
    messages: mpsc::UnboundedSender<Message>,
    readers: Arc<Readers>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Message {
    replies: Replies,
    moved: Moved,
}

/// Long polls and streams of one worker.
#[derive(Debug)]
struct Readers {
    shards: Vec<watch::Sender<()>>,
    /// Of those who follow orders alone.
    order_shards: Vec<watch::Sender<()>>,
    moved: Notify,
    /// Whether the orders have moved since the last sweep.
    orders_moved: AtomicBool,
    /// Another sweep will come, whether the head moves or not.
    pressed: AtomicBool,
}

impl Readers {
    fn count(&self) -> usize {
        let shards = self.shards.iter().chain(&self.order_shards);
        shards.map(watch::Sender::receiver_count).sum()
    }
}

impl Heralds {
    /// Heralds in each of `homes`, whose order is that of [`workers::here`]; in the caller's runtime
    /// if there are none.
    pub(super) fn start(head: Head, homes: &[Handle]) -> Self {
        let current;
        let homes = if homes.is_empty() {
            current = [Handle::current()];
            &current
        } else {
            homes
        };
        Self {
            head: watch::Sender::new(head),
            lanes: homes.iter().map(Lane::start).collect(),
        }
    }

    /// For each lane, nobody to answer yet.
    pub(super) fn no_replies(&self) -> Vec<Replies> {
        self.lanes.iter().map(|_| Vec::new()).collect()
    }

    /// The lane in which the caller is to be answered.
    pub(super) fn lane_here(&self) -> usize {
        workers::here().min(self.lanes.len().saturating_sub(1))
    }

    pub(super) fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Watches the head itself; for the few who are not worth a shard.
    pub(super) fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Tells when the head has moved. Subscribe, then read the head, then wait.
    pub(super) fn moves(&self) -> watch::Receiver<()> {
        self.shard(|readers| &readers.shards)
    }

    /// The same for the orders' head alone.
    pub(super) fn order_moves(&self) -> watch::Receiver<()> {
        self.shard(|readers| &readers.order_shards)
    }

    fn shard(&self, among: impl Fn(&Readers) -> &Vec<watch::Sender<()>>) -> watch::Receiver<()> {
        let lane = self.lanes.get(self.lane_here());
        let shard = lane.and_then(|lane| {
            let turn = lane.turn.fetch_add(1, Ordering::Relaxed);
            among(&lane.readers).get(turn % SHARDS)
        });
        shard
            .expect("there is a lane, and it has shards")
            .subscribe()
    }

    /// Whether a reader who finds a few events should wait for the next sweep, which is certain to
    /// come. Subscribe to [`moves`](Self::moves) first.
    pub(super) fn is_pressed(&self) -> bool {
        let lane = self.lanes.get(self.lane_here());
        lane.is_some_and(|lane| lane.readers.pressed.load(Ordering::SeqCst))
    }

    /// How many wait for a move.
    pub(super) fn readers(&self) -> usize {
        self.lanes.iter().map(|lane| lane.readers.count()).sum()
    }

    /// Moves the head. Returns what those who wait for events are to be told.
    pub(super) fn move_to(&self, head: Head) -> Moved {
        let mut moved = Moved::default();
        self.head.send_if_modified(|known| {
            moved.orders = known.orders != head.orders;
            moved.any = moved.orders || known.offset != head.offset;
            *known = head;
            moved.any
        });
        moved
    }

    /// Tells callers, and, if the head has moved, those who wait for events.
    pub(super) fn tell(&self, moved: Moved, replies: Vec<Replies>) {
        for (lane, replies) in self.lanes.iter().zip(replies) {
            let moved = if moved.any && lane.readers.count() > 0 {
                moved
            } else {
                Moved::default()
            };
            if moved.any || !replies.is_empty() {
                // The runtime may be gone when the process ends; the decisions stand.
                drop(lane.messages.send(Message { replies, moved }));
            }
        }
    }
}

impl Lane {
    fn start(home: &Handle) -> Self {
        let (messages, received) = mpsc::unbounded_channel();
        let shards = || (0..SHARDS).map(|_| watch::Sender::new(())).collect();
        let readers = Arc::new(Readers {
            shards: shards(),
            order_shards: shards(),
            moved: Notify::new(),
            orders_moved: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
        });
        home.spawn(answer(received, Arc::clone(&readers)));
        home.spawn(sweep(Arc::clone(&readers)));
        Self {
            messages,
            readers,
            turn: AtomicUsize::new(0),
        }
    }
}

async fn answer(mut messages: mpsc::UnboundedReceiver<Message>, readers: Arc<Readers>) {
    while let Some(Message { replies, moved }) = messages.recv().await {
        for (caller, reply) in replies {
            // Whoever asked may have gone; the decision stands.
            drop(caller.send(reply));
        }
        if moved.orders {
            readers.orders_moved.store(true, Ordering::SeqCst);
        }
        if moved.any {
            readers.moved.notify_one();
        }
    }
}

async fn sweep(readers: Arc<Readers>) {
    let mut again = false;
    loop {
        if !again {
            readers.moved.notified().await;
        }
        let began = Instant::now();
        let orders = readers.orders_moved.swap(false, Ordering::SeqCst);
        let order_shards = orders.then_some(&readers.order_shards);
        for shard in readers
            .shards
            .iter()
            .chain(order_shards.into_iter().flatten())
        {
            if shard.receiver_count() > 0 {
                shard.send_replace(());
                tokio::task::yield_now().await;
            }
        }
        let took = began.elapsed();
        let long = took > SHORT_SWEEP;
        // After the last sweep under pressure comes one more, for those who joined during it.
        again = readers.pressed.swap(long, Ordering::SeqCst) || long;
        if long {
            tokio::time::sleep(took.min(REST_MAX)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(offset: u64) -> Head {
        Head {
            offset,
            orders: 0,
            digest: 0,
            seq: offset,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_reader_misses_a_move() {
        const MOVES: u64 = 2_000;
        let homes = workers::Workers::start(2).unwrap();
        let heralds = Arc::new(Heralds::start(head(0), &homes.handles()));
        // Each reads as a long poll does, and would wait for ever if it missed the last move.
        let mut readers = Vec::new();
        for home in homes.handles().iter().cycle().take(40) {
            let heralds = Arc::clone(&heralds);
            let read = async move {
                loop {
                    let mut moves = heralds.moves();
                    let seen = heralds.head().offset;
                    if seen == MOVES {
                        return;
                    }
                    if heralds.head().offset == seen {
                        moves.changed().await.unwrap();
                    }
                }
            };
            readers.push(home.spawn(read));
        }
        for offset in 1..=MOVES {
            heralds.tell(heralds.move_to(head(offset)), heralds.no_replies());
            if offset % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for reader in readers {
            let read = tokio::time::timeout(Duration::from_secs(30), reader).await;
            read.expect("nobody waits for a move that has happened")
                .unwrap();
        }
        tokio::task::spawn_blocking(|| homes.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_follows_orders_alone_is_woken_for_orders_alone() {
        let heralds = Heralds::start(head(0), &[]);
        let (mut all, mut orders) = (heralds.moves(), heralds.order_moves());
        for offset in 1..100 {
            heralds.tell(heralds.move_to(head(offset)), heralds.no_replies());
            all.changed().await.unwrap();
        }
        assert!(!orders.has_changed().unwrap());
        let moved = Head {
            orders: 1,
            ..head(99)
        };
        heralds.tell(heralds.move_to(moved), heralds.no_replies());
        orders.changed().await.unwrap();
        all.changed().await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_does_not_wait_for_thousands_of_readers() {
        const READERS: usize = 64 * SHARDS;
        let heralds = Heralds::start(head(0), &[]);
        let woken = Arc::new(AtomicUsize::new(0));
        for _ in 0..READERS {
            let (mut moves, woken) = (heralds.moves(), Arc::clone(&woken));
            tokio::spawn(async move {
                moves.changed().await.unwrap();
                woken.fetch_add(1, Ordering::Relaxed);
            });
        }
        tokio::task::yield_now().await;
        let (reply, answered) = oneshot::channel();
        heralds.tell(heralds.move_to(head(1)), vec![vec![]]);
        // The sweep has begun when the first readers run.
        while woken.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let nothing = Reply {
            requests: Vec::new(),
            answers: Vec::new(),
        };
        heralds.tell(heralds.move_to(head(2)), vec![vec![(reply, nothing)]]);
        answered.await.unwrap();
        let before = woken.load(Ordering::Relaxed);
        assert!(
            before < READERS / 4,
            "{before} of {READERS} readers came before the answer"
        );
        while woken.load(Ordering::Relaxed) < READERS {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_next_sweep_under_pressure_is_swept() {
        let heralds = Heralds::start(head(0), &[]);
        assert!(!heralds.is_pressed());
        let mut slow = heralds.moves();
        tokio::spawn(async move {
            slow.changed().await.unwrap();
            // What else the worker did meanwhile took so long.
            tokio::time::advance(SHORT_SWEEP * 3).await;
        });
        tokio::task::yield_now().await;
        heralds.tell(heralds.move_to(head(1)), heralds.no_replies());
        while !heralds.is_pressed() {
            tokio::task::yield_now().await;
        }
        // Nothing else happens, and it is woken all the same, soon.
        let mut moves = heralds.moves();
        let swept = tokio::time::timeout(REST_MAX * 2, moves.changed()).await;
        swept.expect("a sweep follows a rest").unwrap();
        let calm = tokio::time::timeout(REST_MAX * 4, async {
            while heralds.is_pressed() {
                tokio::time::sleep(SHORT_SWEEP).await;
            }
        });
        calm.await.expect("a short sweep ends the pressure");
    }
}
