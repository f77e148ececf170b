//! A snapshot: the state after one record, so that a start need not read the whole log.
//!
//! ```text
//! {"snapshot":1,"seq":…,"offset":…,"at":"…","digest":"…16","keys":n,"entries":n,"generations":[…]}
//! {"key":"…","principal":"…","seq":…,"at":"…","fingerprint":"…16"}      n lines, oldest first
//! {"record":…,"live":true,"product":{…}}                               n lines
//! {"end":{"crc32c":"…8"}}                                              over everything before
//! ```
//!
//! It is cut while the writer goes on. The catalogue view is copied product by product, which takes
//! a while and is therefore not the state at any one moment; the records that became durable
//! meanwhile are then folded over the copy. Every copied product is some durable state, and every
//! record after the beginning of the copy is folded, so the result is the state after the last of
//! them, exactly. The keys come from the snapshot before this one and the records since, not from
//! the writer's memory.

use serde::Deserialize;
use shared::clock::Timestamp;
use shared::domain::ids::{IdempotencyKey, Principal};
use shared::domain::inventory::state::{Entry, ProductMap};
use shared::domain::inventory::{EventKind, Product};
use shared::wire::product::{Encoder, integer, string};

use super::fold::{Fold, refused};
use super::keys::{KeyRetention, UsedKey};
use crate::journal::record::hex16;
use crate::journal::{Body, Generation, JournalError, JournalReader, LogGen, Record};

/// Bytes that are written at a time.
const PART_BYTES: usize = 1024 * 1024;
/// Bytes of the log that are read at a time while a snapshot is cut.
const READ_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
struct Header {
    snapshot: u32,
    seq: u64,
    offset: u64,
    at: Timestamp,
    digest: String,
    keys: usize,
    entries: usize,
    generations: Vec<GenerationText>,
}

#[derive(Debug, Deserialize)]
struct GenerationText {
    #[serde(rename = "gen")]
    log_gen: String,
    offset: u64,
}

#[derive(Deserialize)]
struct KeyLine {
    key: IdempotencyKey,
    principal: Principal,
    seq: u64,
    at: Timestamp,
    fingerprint: String,
}

#[derive(Deserialize)]
struct EntryLine {
    record: u64,
    live: bool,
    product: Product,
}

/// The state at a record, ready to be written.
#[derive(Debug)]
pub struct Cut {
    seq: u64,
    offset: u64,
    at: Timestamp,
    generations: Vec<Generation>,
    entries: Vec<Entry>,
    keys: KeyLines,
}

/// Lines of keys, oldest first. In pieces, because there may be hundreds of megabytes of them and one
/// growing vector would need twice as much.
#[derive(Debug, Default)]
struct KeyLines {
    pieces: Vec<Vec<u8>>,
    count: usize,
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
}

impl Cut {
    /// The record it is cut at.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Completes a copy of the catalogue that was begun after record `since` had been published:
    /// folds in what became durable meanwhile, and gathers the keys.
    ///
    /// # Errors
    /// The log or the previous snapshot cannot be read.
    pub fn complete(
        copied: Vec<Entry>,
        since: u64,
        journal: &dyn JournalReader,
        retention: KeyRetention,
    ) -> Result<Self, JournalError> {
        let previous = previous(journal, since)?;
        let mut cut = Self {
            seq: since,
            offset: 0,
            at: Timestamp::default(),
            generations: Vec::new(),
            entries: copied,
            keys: KeyLines::default(),
        };
        let mut from = 1;
        if let Some(header) = &previous {
            from = header.seq + 1;
            cut.generations = generations(header)?;
            cut.offset = header.offset;
            cut.at = header.at;
        }
        let mut overlay = Overlay::default();
        cut.fold_log(journal, from, since, &mut overlay)?;
        if let Some(header) = &previous {
            prepend_keys(journal, header, retention, &mut cut)?;
        }
        for entry in &mut cut.entries {
            if let Some(newer) = overlay.entries.remove(entry.product.id.as_str()) {
                *entry = newer;
            }
        }
        cut.entries.extend(overlay.entries.into_values());
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
                    let record =
                        Record::parse(text).map_err(|error| frame.damaged(error.to_string()))?;
                    if record.seq < next {
                        continue;
                    }
                    next = record.seq + 1;
                    self.seq = self.seq.max(record.seq);
                    self.at = record.at;
                    self.fold_record(record, since, overlay);
                }
                self.offset = frame.header.next_offset();
            }
        }
    }

    fn fold_record(&mut self, record: Record, since: u64, overlay: &mut Overlay) {
        let decision = match record.body {
            Body::Generation(generation) => {
                self.generations.push(generation);
                return;
            }
            Body::Decision(decision) => decision,
        };
        if let Some(key) = &decision.origin.key {
            let principal = &decision.origin.principal;
            let (seq, at, fingerprint) = (record.seq, record.at, decision.fingerprint);
            key_line(self.keys.piece(), key, principal, seq, at, fingerprint);
        }
        if record.seq <= since {
            return;
        }
        for id in refused(&decision.decision.results) {
            overlay.touched.insert(id.clone(), record.seq);
        }
        for event in decision.decision.events {
            let live = event.kind != EventKind::Deleted;
            let id = event.product.id.clone();
            overlay.entries.insert(
                id,
                Entry {
                    product: event.product,
                    live,
                    last_record: record.seq,
                },
            );
        }
    }

    /// The file, part by part.
    pub fn parts(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut parts = Parts::default();
        parts.open(self);
        let mut keys = self.keys.pieces.iter();
        let mut entries = self.entries.iter();
        let mut state = PartState::Keys;
        std::iter::from_fn(move || {
            loop {
                match state {
                    PartState::Keys => match keys.next() {
                        Some(piece) => parts.bytes.extend_from_slice(piece),
                        None => state = PartState::Entries,
                    },
                    PartState::Entries => match entries.next() {
                        Some(entry) => parts.entry(entry),
                        None => {
                            parts.close();
                            state = PartState::Done;
                        }
                    },
                    PartState::Done => {
                        let rest = std::mem::take(&mut parts.bytes);
                        return (!rest.is_empty()).then_some(rest);
                    }
                }
                if parts.bytes.len() >= PART_BYTES && !matches!(state, PartState::Done) {
                    return Some(parts.take());
                }
            }
        })
    }
}

#[derive(Clone, Copy)]
enum PartState {
    Keys,
    Entries,
    Done,
}

#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
    crc: u32,
    encoder: Encoder,
}

impl Parts {
    fn take(&mut self) -> Vec<u8> {
        self.crc = crc32c::crc32c_append(self.crc, &self.bytes);
        std::mem::replace(&mut self.bytes, Vec::with_capacity(PART_BYTES + 4_096))
    }

    fn open(&mut self, cut: &Cut) {
        let digest = cut
            .entries
            .iter()
            .filter(|entry| entry.live)
            .fold(0_u64, |sum, entry| sum.wrapping_add(entry.product.digest()));
        let generations: Vec<_> = cut
            .generations
            .iter()
            .map(|one| {
                serde_json::json!({"gen": one.log_gen.to_string(), "offset": one.start_offset})
            })
            .collect();
        let header = serde_json::json!({
            "snapshot": 1,
            "seq": cut.seq,
            "offset": cut.offset,
            "at": cut.at,
            "digest": LogGen(digest).to_string(),
            "keys": cut.keys.count,
            "entries": cut.entries.len(),
            "generations": generations,
        });
        self.bytes = format!("{header}\n").into_bytes();
    }

    fn entry(&mut self, entry: &Entry) {
        let out = &mut self.bytes;
        out.extend_from_slice(b"{\"record\":");
        integer(out, entry.last_record);
        out.extend_from_slice(b",\"live\":");
        out.extend_from_slice(if entry.live { b"true" } else { b"false" });
        out.extend_from_slice(b",\"product\":");
        self.encoder.product(out, &entry.product);
        out.extend_from_slice(b"}\n");
    }

    fn close(&mut self) {
        let rest = self.take();
        self.bytes = rest;
        let end = format!("{{\"end\":{{\"crc32c\":\"{:08x}\"}}}}\n", self.crc);
        self.bytes.extend_from_slice(end.as_bytes());
    }
}

fn key_line(
    out: &mut Vec<u8>,
    key: &IdempotencyKey,
    principal: &Principal,
    seq: u64,
    at: Timestamp,
    fingerprint: u64,
) {
    out.extend_from_slice(b"{\"key\":");
    string(out, key.as_str());
    out.extend_from_slice(b",\"principal\":");
    string(out, principal.as_str());
    out.extend_from_slice(b",\"seq\":");
    integer(out, seq);
    out.extend_from_slice(format!(",\"at\":\"{at}\",\"fingerprint\":\"").as_bytes());
    hex16(out, fingerprint);
    out.extend_from_slice(b"\"}\n");
}

/// The newest snapshot that is not beyond `seq`, by its header.
fn previous(journal: &dyn JournalReader, seq: u64) -> Result<Option<Header>, JournalError> {
    for found in journal
        .snapshots()?
        .into_iter()
        .filter(|found| *found <= seq)
    {
        let head = journal.read_snapshot(found, 0, PART_BYTES)?;
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Ok(header) = serde_json::from_slice::<Header>(line) {
            return Ok(Some(header));
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

fn generations(header: &Header) -> Result<Vec<Generation>, JournalError> {
    header
        .generations
        .iter()
        .map(|text| {
            let log_gen = text
                .log_gen
                .parse()
                .map_err(|_| bad(header.seq, "a generation"))?;
            Ok(Generation {
                log_gen,
                start_offset: text.offset,
            })
        })
        .collect()
}

fn bad(seq: u64, what: &str) -> JournalError {
    JournalError::Damaged {
        file: format!("snapshots/snapshot-{seq:020}.ndjson"),
        position: 0,
        what: format!("{what} cannot be read"),
    }
}

/// Reads a snapshot back.
///
/// # Errors
/// The bytes are not a whole, undamaged snapshot.
pub fn load(bytes: &[u8], seq: u64, retention: KeyRetention) -> Result<Fold, JournalError> {
    let body = check(bytes).ok_or_else(|| bad(seq, "the checksum"))?;
    let mut lines = body.split(|byte| *byte == b'\n');
    let header: Header = serde_json::from_slice(lines.next().unwrap_or_default())
        .map_err(|_| bad(seq, "the header"))?;
    if header.snapshot != 1 || header.seq != seq {
        return Err(bad(seq, "the header"));
    }
    let mut fold = Fold::empty(retention);
    fold.seq = header.seq;
    fold.next_offset = header.offset;
    fold.at = header.at;
    fold.generations = generations(&header)?;
    for line in lines.by_ref().take(header.keys) {
        let key: KeyLine = serde_json::from_slice(line).map_err(|_| bad(seq, "a key"))?;
        let print: LogGen = key
            .fingerprint
            .parse()
            .map_err(|_| bad(seq, "a fingerprint"))?;
        let used = UsedKey {
            seq: key.seq,
            fingerprint: print.0,
        };
        fold.keys.insert(&key.principal, &key.key, used, key.at);
    }
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    if lines.len() != header.entries {
        return Err(bad(seq, "an entry"));
    }
    fold.inventory = shared::domain::inventory::Inventory::with_capacity(lines.len());
    for entry in parse_entries(&lines).ok_or_else(|| bad(seq, "an entry"))? {
        fold.inventory.restore(entry);
    }
    if LogGen(fold.inventory.digest()).to_string() != header.digest {
        return Err(bad(seq, "the digest"));
    }
    Ok(fold)
}

/// The keys that a snapshot lists, oldest first; none of what cannot be read.
#[must_use]
pub fn keys(bytes: &[u8]) -> Vec<(Principal, IdempotencyKey)> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let header = serde_json::from_slice::<Header>(lines.next().unwrap_or_default());
    let count = header.map_or(0, |header| header.keys);
    let keys = lines.take(count).filter_map(|line| {
        let line: KeyLine = serde_json::from_slice(line).ok()?;
        Some((line.principal, line.key))
    });
    keys.collect()
}

/// Parses the entries on two threads; the parse is most of a start with a million products.
fn parse_entries(lines: &[&[u8]]) -> Option<Vec<Entry>> {
    fn parse(lines: &[&[u8]]) -> Option<Vec<Entry>> {
        let parsed = lines.iter().map(|line| {
            let line: EntryLine = serde_json::from_slice(line).ok()?;
            Some(Entry {
                product: line.product,
                live: line.live,
                last_record: line.record,
            })
        });
        parsed.collect()
    }
    let (one, other) = lines.split_at(lines.len() / 2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| parse(one));
        let mut second = parse(other)?;
        let mut all = first.join().ok()??;
        all.append(&mut second);
        Some(all)
    })
}

/// The bytes before the trailer, if the trailer's checksum is theirs.
fn check(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.strip_suffix(b"\n")?;
    let start = end.iter().rposition(|byte| *byte == b'\n')? + 1;
    let trailer: serde_json::Value = serde_json::from_slice(end.get(start..)?).ok()?;
    let promised = trailer.get("end")?.get("crc32c")?.as_str()?;
    let body = bytes.get(..start)?;
    (format!("{:08x}", crc32c::crc32c(body)) == promised).then_some(body)
}

/// A snapshot of a fold that stands still, for tools and tests.
#[must_use]
pub fn entries_of(fold: &Fold) -> Vec<Entry> {
    fold.inventory.entries().cloned().collect()
}
