//! Cutting a snapshot while the writer goes on.
//!
//! The catalogue view is copied product by product, which takes a while and is therefore not the
//! state at any one moment; the records that became durable meanwhile are then folded over the copy.
//! Every copied product is some durable state, and every record after the beginning of the copy is
//! folded, so the result is the state after the last of them, exactly. The keys come from the
//! snapshot before this one and the records since, not from the writer's memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::causes::chain;
use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::access::Access;
use shared::domain::ids::OrderId;
use shared::domain::inventory::state::{Entry, ProductMap};
use shared::domain::inventory::{EventKind, Reservation, Reservations};
use shared::domain::order::{OrderEntry, Orders};

use super::load::checked;
use super::write::key_line;
use super::{Header, PART_BYTES, generations};
use crate::journal::record::{KeyedRecord, RecordError};
use crate::journal::{Body, Generation, JournalError, JournalReader, Offsets, Record};
use crate::ledger::fold::{refused, refused_orders};
use crate::ledger::keys::{KeyRetention, Retention};

/// Bytes of the log that are read at a time while a snapshot is cut.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The state at a record, ready to be written.
#[derive(Debug)]
pub struct Cut {
    pub(super) seq: u64,
    pub(super) offsets: Offsets,
    pub(super) at: Timestamp,
    pub(super) generations: Vec<Generation>,
    pub(super) entries: Vec<Entry>,
    pub(super) reservations: Vec<Arc<Reservation>>,
    pub(super) orders: BTreeMap<OrderId, OrderEntry>,
    pub(super) api_keys: Access,
    pub(super) keys: KeyLines,
}

/// A copy of what is published, taken piece by piece: each piece is some durable state.
#[derive(Debug, Default)]
pub struct Copied {
    /// Products.
    pub entries: Vec<Entry>,
    /// Reservations.
    pub reservations: Vec<Arc<Reservation>>,
    /// Orders.
    pub orders: Vec<OrderEntry>,
    /// API keys, as they all stood at one record; and which that was.
    pub access: (Access, u64),
}

/// Lines of keys, oldest first. In pieces, because there may be hundreds of megabytes of them and one
/// growing vector would need twice as much.
#[derive(Debug, Default)]
pub(super) struct KeyLines {
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) count: usize,
}

impl KeyLines {
    /// The piece that the next line goes to.
    fn piece(&mut self) -> &mut Vec<u8> {
        let full = self
            .pieces
            .last()
            .is_none_or(|piece| piece.len() >= PART_BYTES);
        if full {
            self.pieces.push(Vec::with_capacity(PART_BYTES + 1_024));
        }
        self.count += 1;
        self.pieces
            .last_mut()
            .expect("there is one that is not full")
    }

    fn append(&mut self, mut later: Self) {
        self.pieces.append(&mut later.pieces);
        self.count += later.count;
    }
}

/// What the log says about products since the copy was begun.
#[derive(Default)]
struct Overlay {
    entries: ProductMap<Entry>,
    /// Last record of products that were refused something.
    touched: ProductMap<u64>,
    reservations: Reservations,
    orders: Orders,
    access: Access,
    /// The last record that is in `access`.
    access_seq: u64,
}

impl Overlay {
    fn fold(&mut self, seq: u64, decision: Decision) {
        for id in refused(&decision) {
            self.touched.insert(id.clone(), seq);
        }
        for reservation in &decision.reservations {
            self.reservations.put(reservation);
        }
        for event in &decision.orders {
            self.orders.put(&event.order, seq);
        }
        if seq > self.access_seq {
            for key in &decision.api_keys {
                self.access.put(key);
            }
        }
        for id in refused_orders(&decision) {
            self.orders.touch(id.as_str(), seq);
        }
        for event in decision.events {
            let live = event.kind != EventKind::Deleted;
            let id = event.product.id.clone();
            let entry = Entry {
                product: event.product,
                live,
                last_record: seq,
            };
            self.entries.insert(id, entry);
        }
    }
}

impl Cut {
    /// The record it is cut at.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When that record was decided.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Completes a copy that was begun after record `since` had been published:
    /// folds in what became durable meanwhile, and gathers the keys.
    ///
    /// # Errors
    /// The log or the previous snapshot cannot be read.
    pub fn complete(
        copied: Copied,
        since: u64,
        journal: &dyn JournalReader,
        retention: impl Into<Retention>,
    ) -> Result<Self, JournalError> {
        let retention = retention.into();
        let previous = previous(journal, since)?;
        let mut cut = Self {
            seq: since,
            offsets: Offsets::default(),
            at: Timestamp::default(),
            generations: Vec::new(),
            entries: copied.entries,
            reservations: Vec::new(),
            orders: BTreeMap::new(),
            api_keys: Access::default(),
            keys: KeyLines::default(),
        };
        let mut from = 1;
        if let Some(header) = &previous {
            from = header.seq + 1;
            cut.generations = generations(header)?;
            cut.offsets = Offsets {
                inventory: header.offset,
                orders: header.order_offset,
            };
            cut.at = header.at;
        }
        // What came in over an older state and is folded again ends where it ended.
        let (access, access_seq) = copied.access;
        let mut overlay = Overlay {
            orders: Orders::keeping(retention.ended_orders),
            access,
            access_seq,
            ..Overlay::default()
        };
        for reservation in &copied.reservations {
            overlay.reservations.put(reservation);
        }
        for entry in &copied.orders {
            overlay.orders.put(&entry.order, entry.last_record);
        }
        drop((copied.reservations, copied.orders));
        cut.fold_log(journal, from, since, &mut overlay)?;
        if let Some(header) = &previous {
            prepend_keys(journal, header, retention.keys, &mut cut)?;
        }
        for entry in &mut cut.entries {
            if let Some(newer) = overlay.entries.remove(entry.product.id.as_str()) {
                *entry = newer;
            }
        }
        cut.entries.extend(overlay.entries.into_values());
        cut.reservations = overlay.reservations.iter().map(Arc::clone).collect();
        let orders = overlay.orders.entries();
        cut.orders = orders
            .map(|it| (it.order.order_id.clone(), it.clone()))
            .collect();
        cut.api_keys = overlay.access;
        if !overlay.touched.is_empty() {
            for entry in &mut cut.entries {
                let touched = overlay.touched.get(&entry.product.id).copied().unwrap_or(0);
                entry.last_record = entry.last_record.max(touched);
            }
        }
        Ok(cut)
    }

    /// Folds every durable record from `from` on: keys and generations always, products only after
    /// `since`, where the copy may be older.
    fn fold_log(
        &mut self,
        journal: &dyn JournalReader,
        from: u64,
        since: u64,
        overlay: &mut Overlay,
    ) -> Result<(), JournalError> {
        let mut next = from;
        loop {
            let frames = journal.frames_from_seq(next, READ_BYTES)?;
            if frames.is_empty() {
                return Ok(());
            }
            for frame in frames {
                for text in frame.lines() {
                    let damaged = |error: RecordError| frame.damaged(error.to_string());
                    let keyed = KeyedRecord::parse(text).map_err(damaged)?;
                    if keyed.seq < next {
                        continue;
                    }
                    next = keyed.seq + 1;
                    self.seq = self.seq.max(keyed.seq);
                    self.at = keyed.at;
                    if keyed.seq > since
                        && let Body::Decision(body) = Record::parse(text).map_err(damaged)?.body
                    {
                        overlay.fold(keyed.seq, body.decision);
                    }
                    self.remember(keyed);
                }
                self.offsets = frame.header.next_offsets();
            }
        }
    }

    fn remember(&mut self, keyed: KeyedRecord) {
        let KeyedRecord {
            seq,
            at,
            generation,
            key,
        } = keyed;
        self.generations.extend(generation);
        if let Some((principal, key, fingerprint)) = key {
            key_line(self.keys.piece(), &key, &principal, seq, at, fingerprint);
        }
    }
}

/// The header of the newest sound snapshot that is not beyond `seq`. What has decayed since it was
/// written is passed over, as by a start: copied, it would get a checksum that calls it sound.
fn previous(journal: &dyn JournalReader, seq: u64) -> Result<Option<Header>, JournalError> {
    let older = journal.snapshots()?.into_iter();
    for found in older.filter(|found| *found <= seq) {
        let checked = checked(found, |at| journal.read_snapshot(found, at, PART_BYTES));
        match checked {
            Ok(Some(header)) => return Ok(Some(header)),
            Ok(None) => tracing::error!(seq = found, "a snapshot has decayed and is passed over"),
            Err(error) => tracing::error!(
                seq = found,
                error = %chain(&error),
                "a snapshot cannot be read and is passed over"
            ),
        }
    }
    Ok(None)
}

/// Copies the lines of the keys that are still to be remembered from the previous snapshot.
fn prepend_keys(
    journal: &dyn JournalReader,
    header: &Header,
    retention: KeyRetention,
    cut: &mut Cut,
) -> Result<(), JournalError> {
    // Those since then take their places first.
    let room = retention.count.saturating_sub(cut.keys.count);
    let mut older = KeyLines::default();
    let mut skip = header.keys.saturating_sub(room);
    let mut at = 0_u64;
    let mut rest: Vec<u8> = Vec::new();
    let mut seen = 0_usize;
    let mut is_header = true;
    while seen < header.keys {
        let part = journal.read_snapshot(header.seq, at, PART_BYTES)?;
        if part.is_empty() {
            break;
        }
        at += part.len() as u64;
        rest.extend_from_slice(&part);
        let end = rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        let tail = rest.split_off(end);
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut is_header) {
                continue;
            }
            if seen == header.keys {
                break;
            }
            seen += 1;
            if skip > 0 {
                skip -= 1;
            } else {
                older.piece().extend_from_slice(line);
            }
        }
        rest = tail;
    }
    older.append(std::mem::take(&mut cut.keys));
    cut.keys = older;
    Ok(())
}
