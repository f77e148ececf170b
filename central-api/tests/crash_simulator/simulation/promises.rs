//! What was promised, and the audit of what is left of it.
//!
//! [`Promises`] holds every record that somebody was told of, and after it the frames that were
//! handed to the disk without anybody being told: they may be there after a crash, in order and
//! whole, or not. A process that begins to serve makes what it found a promise: it has shown it.

use std::collections::{BTreeMap, HashMap, HashSet};

use central_api::journal::record::{Body, KeyedRecord};
use central_api::journal::{JournalError, JournalReader, Offsets, Record, Stream};
use central_api::ledger::{Answer, Fold, KeyRetention, Request, fold, snapshot};
use shared::causes::chain;
use shared::domain::ids::{IdempotencyKey, OrderId, Principal, ProductId};
use shared::domain::origin::Origin;

use super::damage::Verdict;

/// The records of one frame.
pub(super) type FrameRecords = Vec<Record>;

/// See the module.
#[derive(Debug)]
pub(super) struct Promises {
    retention: KeyRetention,
    told: Vec<Record>,
    untold: Vec<FrameRecords>,
    keys: HashSet<(Principal, IdempotencyKey)>,
    /// Last record about each product, worked out without the code under test.
    last: BTreeMap<ProductId, u64>,
    offsets: Offsets,
    /// Last record of each order.
    last_of_order: HashMap<OrderId, u64>,
}

/// What the audit found besides the promises kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kept_untold: u64,
    pub(super) lost_untold: u64,
}

impl Promises {
    pub(super) fn new(retention: KeyRetention) -> Self {
        Self {
            retention,
            told: Vec::new(),
            untold: Vec::new(),
            keys: HashSet::new(),
            last: BTreeMap::new(),
            offsets: Offsets::default(),
            last_of_order: HashMap::new(),
        }
    }

    /// Records that were told of.
    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    /// A frame goes to the disk.
    pub(super) fn written(&mut self, records: FrameRecords) {
        self.untold.push(records);
    }

    /// Everything that went to the disk is told of now.
    pub(super) fn tell(&mut self) -> Result<(), String> {
        for record in std::mem::take(&mut self.untold).into_iter().flatten() {
            self.check_next(&record)?;
            self.told.push(record);
        }
        Ok(())
    }

    /// Numbers are dense, keys are used once, and the chain of each product is whole.
    fn check_next(&mut self, record: &Record) -> Result<(), String> {
        let seq = self.told.len() as u64 + 1;
        if record.seq != seq {
            return Err(format!("record {} stands where {seq} belongs", record.seq));
        }
        let decision = match &record.body {
            Body::Generation(generation) if generation.start == self.offsets => return Ok(()),
            Body::Generation(generation) => {
                return Err(format!(
                    "{generation:?} begins at offset {:?}",
                    self.offsets
                ));
            }
            Body::Decision(decision) => decision,
        };
        if decision.first != self.offsets {
            return Err(format!(
                "{record:?} does not follow offset {:?}",
                self.offsets
            ));
        }
        self.offsets.inventory += decision.decision.events.len() as u64;
        self.offsets.orders += decision.decision.orders.len() as u64;
        let events = decision.decision.events.iter();
        let changed: Vec<&ProductId> = events.map(|event| &event.product.id).collect();
        let refused: Vec<&ProductId> = fold::refused(&decision.decision).collect();
        for id in changed.iter().chain(&refused).copied() {
            let expected = self.last.get(id).copied().unwrap_or(0);
            let noted = decision
                .prev
                .products
                .iter()
                .find(|(product, _)| product == id);
            if noted.is_none_or(|(_, before)| *before != expected) {
                return Err(format!(
                    "record {seq}: before it {id} was in {expected}: {noted:?}"
                ));
            }
        }
        for (id, before) in &decision.prev.orders {
            let expected = self.last_of_order.insert(id.clone(), seq).unwrap_or(0);
            if *before != expected {
                return Err(format!(
                    "record {seq}: before it order {id} was in {expected}"
                ));
            }
        }
        // A product that never was has no chain; it may be created and refused in one record.
        self.last
            .extend(changed.into_iter().map(|id| (id.clone(), seq)));
        for id in refused {
            if let Some(last) = self.last.get_mut(id) {
                *last = seq;
            }
        }
        if let Some(key) = &decision.origin.key
            && !self
                .keys
                .insert((decision.origin.principal.clone(), key.clone()))
            && self.retention.count == KeyRetention::default().count
        {
            return Err(format!("record {seq}: key {key} has a second effect"));
        }
        Ok(())
    }

    /// Checks an answer that is about to be given against the records told of so far.
    pub(super) fn check_answer(&self, request: &Request, answer: &Answer) -> Result<(), String> {
        let record = |seq: u64| match self.told.get((seq - 1) as usize) {
            Some(Record {
                at,
                body: Body::Decision(decision),
                ..
            }) => Ok((*at, decision)),
            other => Err(format!("{answer:?} points at {other:?}")),
        };
        match answer {
            Answer::Decided(decided) => {
                let Some(seq) = decided.seq else {
                    return Ok(());
                };
                let (at, decision) = record(seq)?;
                let same = decision.decision == decided.decision
                    && decision.first == decided.first
                    && at == decided.at
                    && decision.origin == request.origin
                    && decision.fingerprint == request.fingerprint;
                same.then_some(())
                    .ok_or_else(|| format!("{decided:?} is recorded as {decision:?}"))
            }
            Answer::Replay { seq } => {
                let (_, decision) = record(*seq)?;
                let same = decision.origin.key == request.origin.key
                    && decision.origin.principal == request.origin.principal
                    && decision.fingerprint == request.fingerprint;
                same.then_some(())
                    .ok_or_else(|| format!("{request:?} gets the answer of {decision:?}"))
            }
            Answer::KeyReused => {
                let other = self.told.iter().any(|record| match &record.body {
                    Body::Decision(decision) => {
                        decision.origin.key == request.origin.key
                            && decision.origin.principal == request.origin.principal
                            && decision.fingerprint != request.fingerprint
                    }
                    Body::Generation(_) => false,
                });
                other
                    .then_some(())
                    .ok_or_else(|| format!("{request:?} is said to reuse a key"))
            }
        }
    }

    /// Checks what a restart found against everything that was promised.
    pub(super) fn audit(
        &mut self,
        recovered: &Fold,
        reader: &dyn JournalReader,
    ) -> Result<Found, String> {
        let oldest = reader.oldest().seq;
        let records = read_all(reader, oldest)?;
        let mut rest = records.as_slice();
        for promised in self.told.iter().skip((oldest - 1) as usize) {
            match rest.split_first() {
                Some((found, more)) if found == promised => rest = more,
                Some((found, _)) => {
                    return Err(format!("promised {promised:?}, found {found:?}"));
                }
                None => return Err(format!("lost: {promised:?}")),
            }
        }
        let frames = self.untold.len() as u64;
        let mut kept = Vec::new();
        for frame in self.untold.drain(..) {
            match rest.split_at_checked(frame.len()) {
                Some((found, more)) if found == frame => {
                    kept.push(frame);
                    rest = more;
                }
                _ => break,
            }
        }
        if let Some(record) = rest.first() {
            return Err(format!("nobody wrote this, or only in part: {record:?}"));
        }
        self.untold = kept;
        let kept_untold = self.untold.len() as u64;
        self.check_fold(recovered, "the recovered state")?;
        self.check_snapshots(reader, &records)?;
        check_offsets(reader, &records)?;
        Ok(Found {
            kept_untold,
            lost_untold: frames - kept_untold,
        })
    }

    /// Compares a log at rest, and the state that came of it, with everything that was told.
    pub(super) fn compare(&self, recovered: &Fold, reader: &dyn JournalReader) -> Verdict {
        let mut noticed = None;
        for record in &self.told {
            match find_offset(reader, record) {
                Ok(true) => {}
                Ok(false) => return Verdict::Missed(format!("record {} by offset", record.seq)),
                Err(error) => noticed = Some(chain(&error)),
            }
        }
        match read_all(reader, reader.oldest().seq) {
            Ok(records) if records == self.told => {}
            Ok(_) => return Verdict::Missed("the records differ".to_owned()),
            Err(error) => noticed = Some(error),
        }
        match (self.check_fold(recovered, "the recovered state"), noticed) {
            (Err(what), _) => Verdict::Missed(what),
            (Ok(()), Some(noticed)) => Verdict::Noticed(noticed),
            (Ok(()), None) => Verdict::Harmless,
        }
    }

    /// Whether `state` follows from the first of the records that were told.
    pub(super) fn is_prefix(&self, state: &Fold) -> bool {
        let mut earlier = Self::new(self.retention);
        let told = self.told.iter().take(state.seq as usize);
        earlier.told = told.cloned().collect();
        earlier.check_fold(state, "a prefix").is_ok()
    }

    /// Snapshot and log give what the log alone gives.
    fn check_snapshots(&self, reader: &dyn JournalReader, log: &[Record]) -> Result<(), String> {
        let oldest = reader.oldest().seq;
        for seq in reader.snapshots().map_err(|error| chain(&error))? {
            // The removal of an old snapshot may have been lost; nobody needs it.
            if seq + 1 < oldest {
                continue;
            }
            let read = reader.read_snapshot(seq, 0, usize::MAX);
            let bytes = read.map_err(|error| chain(&error))?;
            let mut state =
                snapshot::load(&bytes, seq, self.retention).map_err(|error| chain(&error))?;
            for record in log.iter().filter(|record| record.seq > seq) {
                state.apply(record);
            }
            self.check_fold(&state, &format!("snapshot {seq} and the log after it"))?;
        }
        Ok(())
    }

    /// `state` is what follows from everything told and what was found besides.
    fn check_fold(&self, state: &Fold, what: &str) -> Result<(), String> {
        let mut expected = Fold::empty(self.retention);
        let log = || self.told.iter().chain(self.untold.iter().flatten());
        log().for_each(|record| expected.apply(record));
        let differs = |part: &str| Err(format!("{what}: {part} do not follow from the log"));
        if (state.seq, state.next_offsets, state.at)
            != (expected.seq, expected.next_offsets, expected.at)
        {
            return differs("the numbers");
        }
        if state.generations != expected.generations {
            return differs("the generations");
        }
        let known = |fold: &Fold| fold.state.inventory.entries().count();
        let (inventory, wanted) = (&state.state.inventory, &expected.state.inventory);
        let same = wanted
            .entries()
            .all(|entry| inventory.entry(entry.product.id.as_str()) == Some(entry));
        if !same || known(state) != known(&expected) {
            return differs("the products");
        }
        let digest = inventory.digest();
        if digest != wanted.digest() || digest != inventory.recomputed_digest() {
            return differs("the digests");
        }
        if !inventory
            .reservations()
            .iter()
            .eq(wanted.reservations().iter())
        {
            return differs("the reservations");
        }
        let (orders, wanted) = (&state.state.orders, &expected.state.orders);
        let same = wanted
            .entries()
            .all(|entry| orders.entry(entry.order.order_id.as_str()) == Some(entry));
        if !same || orders.len() != wanted.len() {
            return differs("the orders");
        }
        for record in log() {
            let Body::Decision(decision) = &record.body else {
                continue;
            };
            let origin = &decision.origin;
            if let Some(key) = &origin.key
                && state.keys.get(&origin.principal, key)
                    != expected.keys.get(&origin.principal, key)
            {
                return differs("the keys");
            }
        }
        if state.keys.len() != expected.keys.len() {
            return differs("the keys");
        }
        Ok(())
    }
}

/// Every record there is, read as readers read.
fn read_all(reader: &dyn JournalReader, oldest: u64) -> Result<Vec<Record>, String> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let next = oldest + records.len() as u64;
        let frames = reader
            .frames_from_seq(next, 700)
            .map_err(|error| chain(&error))?;
        if frames.is_empty() {
            return Ok(records);
        }
        for line in frames.iter().flat_map(|frame| frame.lines()) {
            let record = Record::parse(line).map_err(|error| error.to_string())?;
            let keyed = KeyedRecord::parse(line).map_err(|error| error.to_string())?;
            if keyed != keyed_of(&record) {
                return Err(format!("record {} has two readings", record.seq));
            }
            if record.seq == oldest + records.len() as u64 {
                records.push(record);
            } else {
                return Err(format!("record {} comes out of turn", record.seq));
            }
        }
    }
}

/// What the short reading of a record must say.
fn keyed_of(record: &Record) -> KeyedRecord {
    let mut keyed = KeyedRecord {
        seq: record.seq,
        at: record.at,
        generation: None,
        key: None,
    };
    match &record.body {
        Body::Generation(generation) => keyed.generation = Some(*generation),
        Body::Decision(decision) => {
            let Origin { principal, key, .. } = &decision.origin;
            let key = key.clone();
            keyed.key = key.map(|key| (principal.clone(), key, decision.fingerprint));
        }
    }
    keyed
}

/// Every event can be found by its offset.
fn check_offsets(reader: &dyn JournalReader, records: &[Record]) -> Result<(), String> {
    for record in records {
        if !find_offset(reader, record).map_err(|error| chain(&error))? {
            return Err(format!("record {} is not found by its offset", record.seq));
        }
    }
    Ok(())
}

/// Whether `record` is found by the offset of its first event, if it has one.
fn find_offset(reader: &dyn JournalReader, record: &Record) -> Result<bool, JournalError> {
    let Body::Decision(decision) = &record.body else {
        return Ok(true);
    };
    let events = [
        (Stream::Inventory, decision.decision.events.len()),
        (Stream::Orders, decision.decision.orders.len()),
    ];
    for (stream, _) in events.into_iter().filter(|(_, count)| *count > 0) {
        let frames = reader.frames_from_offset(stream, decision.first.of(stream), 1)?;
        let found = frames.first().is_some_and(|frame| {
            frame.header.first.seq <= record.seq && record.seq < frame.header.next_seq()
        });
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}
