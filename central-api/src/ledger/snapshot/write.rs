//! The lines of a snapshot, a megabyte at a time.
//!
//! An iterator of parts, so that a snapshot of a million products is written without ever being whole
//! in memory; the lines of the keys come ready made. The checksum runs over every part as it leaves.
//!
//! What must stay true: the parts one after the other are the file. Where they go, and when they
//! count as written, is the journal's business.

use serde::Serialize;
use shared::clock::Timestamp;
use shared::domain::ids::{IdempotencyKey, Principal};
use shared::domain::inventory::state::Entry;
use shared::domain::order::OrderEntry;
use shared::wire::product::{Encoder, integer, string};

use super::PART_BYTES;
use super::cut::Cut;
use crate::journal::LogGen;
use crate::journal::record::hex16;

impl Cut {
    /// The file, part by part.
    pub fn parts(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut parts = Parts::default();
        parts.open(self);
        let mut keys = self.keys.pieces.iter();
        let mut entries = self.entries.iter();
        let mut reservations = self.reservations.iter();
        let mut orders = self.orders.values();
        let mut api_keys = self.api_keys.iter();
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
                        None => state = PartState::Reservations,
                    },
                    PartState::Reservations => match reservations.next() {
                        Some(reservation) => parts.line(&**reservation),
                        None => state = PartState::Orders,
                    },
                    PartState::Orders => match orders.next() {
                        Some(entry) => parts.order(entry),
                        None => state = PartState::ApiKeys,
                    },
                    PartState::ApiKeys => match api_keys.next() {
                        Some(key) => parts.line(&**key),
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
    Reservations,
    Orders,
    ApiKeys,
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
                serde_json::json!({
                    "gen": one.log_gen.to_string(),
                    "offset": one.start.inventory,
                    "orderOffset": one.start.orders,
                })
            })
            .collect();
        let header = serde_json::json!({
            "snapshot": 1,
            "seq": cut.seq,
            "offset": cut.offsets.inventory,
            "orderOffset": cut.offsets.orders,
            "at": cut.at,
            "digest": LogGen(digest).to_string(),
            "keys": cut.keys.count,
            "entries": cut.entries.len(),
            "reservations": cut.reservations.len(),
            "orders": cut.orders.len(),
            "apiKeys": cut.api_keys.len(),
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

    fn line(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.bytes, value).expect("writing to a Vec cannot fail");
        self.bytes.push(b'\n');
    }

    fn order(&mut self, entry: &OrderEntry) {
        self.bytes.extend_from_slice(b"{\"record\":");
        integer(&mut self.bytes, entry.last_record);
        self.bytes.extend_from_slice(b",\"order\":");
        serde_json::to_writer(&mut self.bytes, &*entry.order)
            .expect("writing to a Vec cannot fail");
        self.bytes.extend_from_slice(b"}\n");
    }

    fn close(&mut self) {
        let rest = self.take();
        self.bytes = rest;
        let end = format!("{{\"end\":{{\"crc32c\":\"{:08x}\"}}}}\n", self.crc);
        self.bytes.extend_from_slice(end.as_bytes());
    }
}

/// Appends the line of one key.
pub(super) fn key_line(
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
