//! A full sync: receive a snapshot aside, read the feed behind it, swap.
//!
//! ```text
//! snapshot ──▶ blocking thread: unpack, parse, check, write *.tmp ─┐
//! feed from the snapshot's offset ──▶ runs, until at the head ─────┤
//!                                     new catalogue ◀──────────────┘ ──▶ files ──▶ swap
//! ```
//!
//! What must stay true: nothing of the live copy is touched before everything is there and checked;
//! a reader sees the old catalogue or the new one. The feed is read *before* the swap so that
//! readers of a copy that was nearly current do not see it fall back to an older snapshot.
//!
//! A disk that cannot hold the snapshot does not stop the sync: the copy is then in memory only.

mod parse;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use shared::domain::inventory::Product;
use shared::domain::inventory::state::Entry;
use shared::limits;
use shared::view::{Catalogue, Head};
use tokio::sync::mpsc;

use self::parse::{Pieces, parse};
use super::answer::{Poll, check};
use super::files::{Finished, Header, Summary};
use super::keeper::Keeper;
use super::live::{Incoming, changes};
use super::position::{Gen, Position};
use crate::central::{Central, FeedReply, SnapshotStream, SyncFault};

/// Answers read behind a snapshot once the goal is reached, if the head keeps moving away.
const CHASE: u32 = 16;

/// A new copy, complete and not yet shown to anybody.
#[derive(Debug)]
pub struct Fresh {
    /// Its products.
    pub catalogue: Catalogue,
    /// Where it stands.
    pub position: Position,
    /// The head of the log as last heard.
    pub head: u64,
    /// Whether that is where it stands.
    pub at_head: bool,
    /// What was read behind the snapshot, for the journal and those who follow us.
    pub recent: Vec<Incoming>,
    /// The same by answer.
    pub runs: Vec<(Gen, Vec<Bytes>)>,
    /// The generations on the way, each with the offset from which on it was in force here.
    pub generations: Vec<Position>,
    /// The snapshot on disk, if the disk took it.
    pub snapshot: Option<Finished>,
}

/// Receives a snapshot and what lies behind it. `takes` decides by its generation whether it is
/// wanted; `goal` is the position of the live copy, behind which the new one should not fall.
///
/// # Errors
/// What went wrong; nothing is changed then.
pub async fn receive(
    central: &dyn Central,
    keeper: &Keeper,
    takes: impl FnOnce(Gen) -> bool,
    goal: Option<Position>,
    poll_limits: (usize, Duration),
) -> Result<Fresh, SyncFault> {
    let received = match central.snapshot().await {
        Ok(stream) => receive_rows(stream, keeper, takes).await?,
        Err(fault) if fault.is_missing => {
            from_beginning(central, keeper, takes, poll_limits).await?
        }
        Err(fault) => return Err(fault),
    };
    let mut behind = Behind::at(received.header.position());
    behind.read(central, goal, poll_limits).await?;
    let build = tokio::task::spawn_blocking(move || received.build(behind));
    build
        .await
        .map_err(|_| SyncFault::new("the snapshot could not be put together"))
}

/// The rows of a snapshot, checked.
struct Received {
    header: Header,
    products: Vec<Product>,
    summary: Summary,
    snapshot: Option<Finished>,
}

async fn receive_rows(
    stream: SnapshotStream,
    keeper: &Keeper,
    takes: impl FnOnce(Gen) -> bool,
) -> Result<Received, SyncFault> {
    let SnapshotStream {
        packing, mut bytes, ..
    } = stream;
    let (pieces, inbox) = mpsc::channel::<Result<Bytes, SyncFault>>(limits::SYNC_PIECES);
    // The header decides before anything is written, so it is read first, on the same thread.
    let (header_out, header_in) = tokio::sync::oneshot::channel();
    let (writer_out, writer_in) = tokio::sync::oneshot::channel();
    let parse = tokio::task::spawn_blocking(move || {
        parse(Pieces::new(inbox), packing, header_out, writer_in)
    });
    let feed = async move {
        while let Some(piece) = bytes.next().await {
            // The other end is gone when the parser has given up; it says why.
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
    };
    let direct = async move {
        let Ok(header): Result<Header, _> = header_in.await else {
            return;
        };
        if !takes(header.r#gen) {
            drop(writer_out);
            return;
        }
        let writer = keeper.begin_install(header.position(), header.count).await;
        if let Err(error) = &writer {
            tracing::error!(%error, "the snapshot cannot be kept on disk");
        }
        drop(writer_out.send(writer.ok()));
    };
    let ((), (), parsed) = tokio::join!(feed, direct, parse);
    parsed.map_err(|_| SyncFault::new("the snapshot cannot be parsed"))?
}

/// The empty catalogue that every log begins with: for a central that has no snapshot to give, but
/// all of a short log.
async fn from_beginning(
    central: &dyn Central,
    keeper: &Keeper,
    takes: impl FnOnce(Gen) -> bool,
    (_, give_up_after): (usize, Duration),
) -> Result<Received, SyncFault> {
    let poll = Poll {
        r#gen: None,
        offset: 0,
        limit: 1,
        wait: Duration::ZERO,
        cursor: None,
        give_up_after,
    };
    let FeedReply::Page(page, _) = central.poll(&poll).await else {
        return Err(SyncFault::new(
            "central has neither a snapshot nor its log's beginning",
        ));
    };
    let too_long = page.head.is_none_or(|head| head > limits::REPLAY_EVENTS);
    if check(&poll, &page, &[]).is_err() || too_long {
        return Err(SyncFault::new("central has no snapshot"));
    }
    if !takes(page.r#gen) {
        return Err(SyncFault::new("the log is one that was left behind"));
    }
    let position = Position {
        r#gen: page.r#gen,
        offset: 0,
    };
    let writer = keeper.begin_install(position, 0).await;
    let writing = tokio::task::spawn_blocking(move || writer.and_then(|writer| writer.finish(0)));
    let snapshot = writing.await.ok().and_then(Result::ok);
    Ok(Received {
        header: Header {
            r#gen: page.r#gen,
            offset: 0,
            count: 0,
            serial: 0,
        },
        products: Vec::new(),
        summary: Summary::default(),
        snapshot,
    })
}

impl Received {
    /// Puts snapshot and events together. Blocking.
    fn build(self, behind: Behind) -> Fresh {
        let Self {
            header,
            products,
            summary,
            snapshot,
        } = self;
        let entries = products.into_iter().map(|product| Entry {
            product,
            live: true,
            last_record: header.offset,
        });
        let head = Head {
            orders: 0,
            offset: header.offset,
            digest: summary.digest,
            seq: header.offset,
        };
        let catalogue = Catalogue::load(entries, head);
        let offset = behind.position.offset;
        catalogue.fold(changes(&behind.recent), offset, offset);
        Fresh {
            catalogue,
            position: behind.position,
            head: behind.head,
            at_head: behind.at_head,
            recent: behind.recent,
            runs: behind.runs,
            generations: behind.generations,
            snapshot,
        }
    }
}

/// What was read of the feed behind a snapshot.
struct Behind {
    position: Position,
    head: u64,
    at_head: bool,
    recent: Vec<Incoming>,
    runs: Vec<(Gen, Vec<Bytes>)>,
    generations: Vec<Position>,
}

impl Behind {
    fn at(position: Position) -> Self {
        Self {
            position,
            generations: vec![position],
            head: position.offset,
            at_head: false,
            recent: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Reads until the head, or, if that keeps moving away, some way past `goal`.
    async fn read(
        &mut self,
        central: &dyn Central,
        goal: Option<Position>,
        (limit, give_up_after): (usize, Duration),
    ) -> Result<(), SyncFault> {
        let mut chased = 0;
        let mut goal = goal.map_or(0, |goal| goal.offset);
        while !self.at_head && chased < CHASE {
            let poll = Poll {
                r#gen: Some(self.position.r#gen),
                offset: self.position.offset,
                limit,
                wait: Duration::ZERO,
                cursor: None,
                give_up_after,
            };
            let (page, events) = match central.poll(&poll).await {
                FeedReply::Page(page, events) => (page, events),
                FeedReply::Failed(fault) => return Err(fault),
                FeedReply::Diverged | FeedReply::Ahead | FeedReply::Gone => {
                    return Err(SyncFault::new("central does not continue its own snapshot"));
                }
            };
            check(&poll, &page, &[])
                .map_err(|flaw| SyncFault::new(format!("the feed behind the snapshot: {flaw}")))?;
            if page.r#gen != self.position.r#gen {
                self.generations.push(Position {
                    r#gen: page.r#gen,
                    offset: self.position.offset,
                });
            }
            self.position = Position {
                r#gen: page.r#gen,
                offset: page.next_offset,
            };
            if self.runs.is_empty() {
                // The head as it stood when this began: less would show a part of the catalogue.
                goal = goal.max(page.head.unwrap_or(0));
            }
            self.head = page.head.unwrap_or(page.next_offset);
            self.at_head = page.is_at_head();
            let bytes = events
                .iter()
                .map(|incoming| incoming.bytes.clone())
                .collect();
            self.runs.push((page.r#gen, bytes));
            self.recent.extend(events);
            if self.position.offset >= goal {
                chased += 1;
            }
        }
        Ok(())
    }
}
