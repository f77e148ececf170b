//! Reading a snapshot back, all of it or nothing.
//!
//! What must stay true: a snapshot that is not whole, or whose products do not add up to its digest,
//! is an error and never a part of the state. Whoever starts then takes the one before it. The keys
//! alone ([`keys`]) are for tools, which want what can be had.

use std::sync::Arc;

use serde::Deserialize;
use shared::clock::Timestamp;
use shared::domain::ids::{IdempotencyKey, Principal};
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{Inventory, Product};
use shared::domain::order::Order;

use super::{Header, bad, generations};
use crate::journal::{JournalError, LogGen, Offsets};
use crate::ledger::fold::Fold;
use crate::ledger::keys::{Retention, UsedKey};

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

#[derive(Deserialize)]
struct OrderLine {
    record: u64,
    order: Order,
}

/// Reads a snapshot back.
///
/// # Errors
/// The bytes are not a whole, undamaged snapshot.
pub fn load(bytes: &[u8], seq: u64, retention: impl Into<Retention>) -> Result<Fold, JournalError> {
    let body = check(bytes).ok_or_else(|| bad(seq, "the checksum"))?;
    let mut lines = body.split(|byte| *byte == b'\n');
    let header: Header = serde_json::from_slice(lines.next().unwrap_or_default())
        .map_err(|_| bad(seq, "the header"))?;
    if header.snapshot != 1 || header.seq != seq {
        return Err(bad(seq, "the header"));
    }
    let mut fold = Fold::empty(retention);
    fold.seq = header.seq;
    fold.next_offsets = Offsets {
        inventory: header.offset,
        orders: header.order_offset,
    };
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
    fold.keys.forget(header.at);
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    let counts = [
        header.entries,
        header.reservations,
        header.orders,
        header.api_keys,
    ];
    let total = counts
        .iter()
        .try_fold(0_usize, |sum, n| sum.checked_add(*n));
    let split = lines.split_at_checked(header.entries);
    let Some((entries, books)) = split.filter(|_| total == Some(lines.len())) else {
        return Err(bad(seq, "an entry"));
    };
    let inventory = &mut fold.state.inventory;
    *inventory = Inventory::with_capacity(entries.len());
    for entry in parse_entries(entries).ok_or_else(|| bad(seq, "an entry"))? {
        inventory.restore(entry);
    }
    let (reservations, rest) = books.split_at(header.reservations);
    let (orders, api_keys) = rest.split_at(header.orders);
    for line in reservations {
        let reservation = serde_json::from_slice(line).map_err(|_| bad(seq, "a reservation"))?;
        inventory.put_reservation(&reservation);
    }
    for line in orders {
        let line: OrderLine = serde_json::from_slice(line).map_err(|_| bad(seq, "an order"))?;
        fold.state.orders.put(&Arc::new(line.order), line.record);
    }
    for line in api_keys {
        let key = serde_json::from_slice(line).map_err(|_| bad(seq, "an API key"))?;
        fold.state.access.put(&Arc::new(key));
    }
    if LogGen(fold.state.inventory.digest()).to_string() != header.digest {
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
    let (start, promised) = trailed(bytes)?;
    let body = bytes.get(..start)?;
    (crc32c::crc32c(body) == promised).then_some(body)
}

/// Bytes that the trailer takes, and some more.
const TRAILER_ROOM: usize = 64;

/// The header of a snapshot whose checksum is that of its bytes, which `read` gives in parts: from a
/// position on, and none at the end. `None` if it is not whole and undamaged.
///
/// # Errors
/// The first error of `read`.
pub(super) fn checked(
    seq: u64,
    mut read: impl FnMut(u64) -> Result<Vec<u8>, JournalError>,
) -> Result<Option<Header>, JournalError> {
    let mut head: Option<Header> = None;
    let (mut at, mut crc) = (0_u64, 0);
    // The end of what was read: the trailer is not part of what it sums up.
    let mut end: Vec<u8> = Vec::new();
    loop {
        let part = read(at)?;
        if part.is_empty() {
            break;
        }
        if at == 0 {
            let line = part.split(|byte| *byte == b'\n').next().unwrap_or_default();
            head = serde_json::from_slice(line).ok();
        }
        at += part.len() as u64;
        end.extend_from_slice(&part);
        let summed = end.len().saturating_sub(TRAILER_ROOM);
        crc = crc32c::crc32c_append(crc, end.get(..summed).unwrap_or_default());
        end.drain(..summed);
    }
    let is_sound = trailed(&end).is_some_and(|(start, promised)| {
        let rest = end.get(..start).unwrap_or_default();
        crc32c::crc32c_append(crc, rest) == promised
    });
    Ok(head.filter(|header| is_sound && header.snapshot == 1 && header.seq == seq))
}

/// Where the trailer of `bytes` begins, and the checksum that it promises.
fn trailed(bytes: &[u8]) -> Option<(usize, u32)> {
    let end = bytes.strip_suffix(b"\n")?;
    let start = end.iter().rposition(|byte| *byte == b'\n')? + 1;
    let trailer: serde_json::Value = serde_json::from_slice(end.get(start..)?).ok()?;
    let promised = trailer.get("end")?.get("crc32c")?.as_str()?;
    Some((start, u32::from_str_radix(promised, 16).ok()?))
}
