//! The one place where stock changes.
//!
//! A [`Writer`] turns requests into one frame: it decides each against the state with the ones
//! before it applied, writes the record, folds it in, and goes on. Folding before the frame is
//! durable is safe because nothing is answered or shown until it is, and because a frame that cannot
//! be made durable ends the process: there is no state to take back.
//!
//! Nothing in here knows threads or channels, so a simulator can drive it step by step.
//!
//! Longer than most files, because deciding, writing and folding in are one sequence, whose order is what
//! keeps it right.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::ids::{OrderId, ProductId};
use shared::domain::inventory;
use shared::domain::origin::Origin;
use shared::domain::{Command, Decision, State, decide};
use shared::limits;
use shared::view::Head;
use shared::wire::product::Encoder;

use super::fold::{Fold, refused, refused_orders};
use super::keys::{KeyPlace, UsedKey};
use super::publication::{Decided, Publication, Touched};
use crate::journal::frame::Counts;
use crate::journal::record::{
    Previous, RecordHead, Spans, encode_decision, encode_generation, event_spans, frame_buffer,
};
use crate::journal::{
    Body, DecisionRecord, First, Flush, Frame, Generation, Journal, JournalError, LogGen, Record,
};

/// A command, who asks, and what tells it from another.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks, under which key.
    pub origin: Origin,
    /// What is asked.
    pub command: Command,
    /// [`fingerprint`](Command::fingerprint) of the command.
    pub fingerprint: u64,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was decided now.
    Decided(Arc<Decided>),
    /// It was decided before, by this record.
    Replay {
        /// The record.
        seq: u64,
    },
    /// Its key was used for another command.
    KeyReused,
}

/// Decides, records and folds.
#[derive(Debug)]
pub struct Writer {
    fold: Fold,
    encoder: Encoder,
    /// Size of the last frame, to make room for the next at once.
    last_frame_bytes: usize,
}

/// A frame under construction.
#[derive(Debug)]
pub struct Draft {
    at: Timestamp,
    first: First,
    bytes: Vec<u8>,
    records: u32,
    spans: Spans,
    decided: Vec<Arc<Decided>>,
    touched: Touched,
    generations: Vec<Generation>,
}

impl Draft {
    /// Whether the frame has as much in it as one sync should carry.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= limits::FRAME_BYTES || self.records as usize >= limits::FRAME_COMMANDS
    }
}

impl Writer {
    /// A writer that goes on from `fold`.
    #[must_use]
    pub fn new(fold: Fold) -> Self {
        Self {
            fold,
            encoder: Encoder::new(),
            last_frame_bytes: 0,
        }
    }

    /// The state, including what is not durable yet.
    #[must_use]
    pub const fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Where the log stands, including what is not durable yet.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            seq: self.fold.seq,
            offset: self.fold.next_offsets.inventory,
            orders: self.fold.next_offsets.orders,
            digest: self.fold.state.inventory.digest(),
        }
    }

    /// Takes the right to write. What others wrote meanwhile is folded in and comes back to be
    /// published before the frame that is begun now.
    ///
    /// # Errors
    /// The journal cannot be reached, or holds what this release cannot read.
    pub fn begin(
        &mut self,
        journal: &mut dyn Journal,
        now: Timestamp,
    ) -> Result<(Draft, Vec<Publication>), JournalError> {
        let unseen = journal.begin()?;
        let published = unseen
            .into_iter()
            .map(|frame| self.take_in(frame))
            .collect::<Result<Vec<_>, _>>()?;
        let draft = Draft {
            // Time never goes back in the log, whatever the clock does.
            at: now.max(self.fold.at),
            first: self.fold.next(),
            bytes: frame_buffer(self.last_frame_bytes),
            records: 0,
            spans: Spans::default(),
            decided: Vec::new(),
            touched: Touched::default(),
            generations: Vec::new(),
        };
        Ok((draft, published))
    }

    /// Folds a frame in that somebody else wrote.
    ///
    /// # Errors
    /// A line that is not a record.
    pub fn take_in(&mut self, frame: Frame) -> Result<Publication, JournalError> {
        let mut decided = Vec::new();
        let mut touched = Touched::default();
        let mut generations = Vec::new();
        for line in frame.lines() {
            let record = Record::parse(line).map_err(|error| frame.damaged(error.to_string()))?;
            self.fold.apply(&record);
            match record.body {
                Body::Generation(generation) => generations.push(generation),
                Body::Decision(body) => {
                    let DecisionRecord {
                        first, decision, ..
                    } = *body;
                    touched.note(&decision, record.seq);
                    let seq = Some(record.seq);
                    decided.push(Arc::new(Decided {
                        seq,
                        at: record.at,
                        first,
                        decision,
                    }));
                }
            }
        }
        let spans = event_spans(&frame).map_err(|error| frame.damaged(error.to_string()))?;
        let frame = Some((frame, spans));
        Ok(Publication {
            frame,
            decided,
            touched,
            generations,
            head: self.head(),
        })
    }

    /// The product and its version, if `request` is one movement that insists on another version and
    /// nothing was decided under its key: all that it can get now is a refusal that is not recorded.
    #[must_use]
    pub fn conflict<'a>(&self, request: &'a Request) -> Option<(&'a ProductId, u64)> {
        let Command::Inventory(inventory::Command::Move { lines, .. }) = &request.command else {
            return None;
        };
        let [line] = lines.as_slice() else {
            return None;
        };
        let expected = line.expected_version?;
        let version = self.version(&line.product)?;
        if expected == version {
            return None;
        }
        let place = self.place(&request.origin);
        let used = place.and_then(|place| self.fold.keys.get_at(place));
        used.is_none().then_some((&line.product, version))
    }

    /// The version of a product in the catalogue, what is not durable yet included.
    #[must_use]
    pub fn version(&self, product: &ProductId) -> Option<u64> {
        let product = self.fold.state.inventory.get(product.as_str());
        product.map(|product| product.version)
    }

    /// Decides one request and adds its record to the frame.
    pub fn decide(&mut self, draft: &mut Draft, request: &Request) -> Answer {
        let Request {
            origin,
            command,
            fingerprint,
        } = request;
        let place = self.place(origin);
        if let Some(used) = place.and_then(|place| self.fold.keys.get_at(place)) {
            let UsedKey {
                seq,
                fingerprint: known,
            } = used;
            return if known == *fingerprint {
                Answer::Replay { seq }
            } else {
                Answer::KeyReused
            };
        }
        let decision = decide(&self.fold.state, command, draft.at);
        let nothing = !decision.changes_something() && !decision.has_refusal();
        if decision.is_remembered() && !(nothing && origin.key.is_none()) {
            return Answer::Decided(self.record(draft, request, place, decision));
        }
        // An attempt at an order is in its history, though its key stays free.
        if refused_orders(&decision).next().is_some() {
            let mut unkeyed = request.clone();
            unkeyed.origin.key = None;
            self.record(draft, &unkeyed, None, decision.clone());
        }
        let decided = Decided {
            seq: None,
            at: draft.at,
            first: self.fold.next_offsets,
            decision,
        };
        Answer::Decided(Arc::new(decided))
    }

    /// Where the window has the key of `origin`, if that has one.
    fn place(&self, origin: &Origin) -> Option<KeyPlace> {
        let key = origin.key.as_ref()?;
        Some(self.fold.keys.place(&origin.principal, key))
    }

    fn record(
        &mut self,
        draft: &mut Draft,
        request: &Request,
        place: Option<KeyPlace>,
        decision: Decision,
    ) -> Arc<Decided> {
        let Request {
            origin,
            command,
            fingerprint,
        } = request;
        let seq = self.fold.seq + 1;
        let first = self.fold.next_offsets;
        let prev = self.previous_records(&decision);
        let head = RecordHead {
            seq,
            at: draft.at,
            kind: command.kind(),
            origin,
            fingerprint: *fingerprint,
            prev: &prev,
            first,
        };
        encode_decision(
            &mut draft.bytes,
            &mut self.encoder,
            head,
            &decision,
            &mut draft.spans,
        );
        draft.records += 1;

        // The same fold as Fold::apply, without making a Record of it.
        self.fold.advance(seq, draft.at);
        self.fold.apply_decided(seq, &decision);
        draft.touched.note(&decision, seq);
        if let Some(place) = place {
            let used = UsedKey {
                seq,
                fingerprint: *fingerprint,
            };
            self.fold.keys.insert_at(place, used, draft.at);
        }
        let decided = Arc::new(Decided {
            seq: Some(seq),
            at: draft.at,
            first,
            decision,
        });
        if decided.decision.changes_something() {
            draft.decided.push(Arc::clone(&decided));
        }
        decided
    }

    /// For each product and order that the decision is about, the last record about it.
    fn previous_records(&self, decision: &Decision) -> Previous {
        let State {
            inventory,
            orders,
            access: _,
        } = &self.fold.state;
        let mut products: Vec<(ProductId, u64)> = Vec::with_capacity(decision.results.len().min(8));
        let mut add = |id: &ProductId| {
            let entry = inventory.entry(id.as_str());
            products.push((id.clone(), entry.map_or(0, |entry| entry.last_record)));
        };
        decision
            .events
            .iter()
            .for_each(|event| add(&event.product.id));
        refused(decision).for_each(&mut add);
        if products.len() > 1 {
            products.sort_unstable();
            products.dedup();
        }
        let mut ids: Vec<&OrderId> = decision
            .orders
            .iter()
            .map(|it| &it.order.order_id)
            .chain(refused_orders(decision))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let record = |id: &OrderId| {
            orders
                .entry(id.as_str())
                .map_or(0, |entry| entry.last_record)
        };
        let orders = ids.into_iter().map(|id| (id.clone(), record(id))).collect();
        Previous { products, orders }
    }

    /// When the next hold runs out, if nobody asks for anything before.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.fold.state.inventory.reservations().next_due()
    }

    /// Ends holds whose time has run out at the draft's time, up to a bound.
    pub fn expire(&mut self, draft: &mut Draft) {
        let due = self.next_expiry().is_some_and(|due| due <= draft.at);
        if due && !draft.is_full() {
            let command = Command::from(inventory::Command::Expire);
            let request = Request {
                origin: Origin::internal("expiry"),
                fingerprint: command.fingerprint(None),
                command,
            };
            self.decide(draft, &request);
        }
    }

    /// Adds the record that begins a life of the log.
    pub fn begin_generation(&mut self, draft: &mut Draft, log_gen: LogGen) {
        let generation = Generation {
            log_gen,
            start: self.fold.next_offsets,
        };
        let seq = self.fold.seq + 1;
        encode_generation(
            &mut draft.bytes,
            &mut self.encoder,
            seq,
            draft.at,
            generation,
        );
        draft.records += 1;
        draft.generations.push(generation);
        let body = Body::Generation(generation);
        self.fold.apply(&Record {
            seq,
            at: draft.at,
            body,
        });
    }

    /// Hands the frame to the journal. What comes back is to be flushed, and then published.
    ///
    /// # Errors
    /// The journal refuses the frame. The state is ahead of the log then: end the process.
    pub fn finish(
        &mut self,
        journal: &mut dyn Journal,
        draft: Draft,
    ) -> Result<(Flush, Publication), JournalError> {
        let Draft {
            at: _,
            first,
            bytes,
            records,
            spans,
            decided,
            touched,
            generations,
        } = draft;
        let head = self.head();
        if records == 0 {
            journal.abandon();
            let publication = Publication {
                frame: None,
                decided,
                touched,
                generations,
                head,
            };
            return Ok((Flush::done(), publication));
        }
        self.last_frame_bytes = bytes.len();
        let count =
            |spans: usize| u32::try_from(spans).expect("a frame is bounded far below 4 GiB");
        let counts = Counts {
            records,
            events: count(spans.inventory.len()),
            order_events: count(spans.orders.len()),
        };
        let frame = Frame::seal(bytes, first, counts);
        let flush = journal.commit(frame.clone())?;
        let frame = Some((frame, spans));
        Ok((
            flush,
            Publication {
                frame,
                decided,
                touched,
                generations,
                head,
            },
        ))
    }
}
