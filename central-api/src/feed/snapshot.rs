//! The catalogue at one exact offset, as the lines that a follower loads.
//!
//! ```text
//! {"gen":"8a7fd1e200aa31c4","offset":1200,"count":2}
//! {"productId":"A",...}
//! {"productId":"B",...}
//! {"count":2,"crc":"1f0a33c2","digest":"90aa31c48a7fd1e2"}
//! ```
//!
//! `docs/feed.md` defines every field. The cut is made while the writer goes on, in the way of
//! [`ledger::snapshot`](crate::ledger::snapshot): the products are gathered one by one, which is not
//! the state at any one moment, and then the records that became durable meanwhile are folded over
//! them. Every gathered product is some durable state, and every record after the beginning is
//! folded, so the result is the state after the last of them, exactly.
//!
//! Products are shared with the view, not copied: a cut of a million of them takes eight megabytes.

use std::io::{self, Write};
use std::sync::Arc;

use shared::domain::inventory::EventKind;
use shared::domain::inventory::state::ProductMap;
use shared::view::Published as Row;
use shared::wire::product::{Encoder, integer};

use crate::journal::record::hex16;
use crate::journal::{Body, JournalError, LogGen, Record};
use crate::ledger::Published;

/// Bytes that are encoded before they are written.
const PART_BYTES: usize = 256 * 1024;
/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The catalogue at one offset.
#[derive(Debug)]
pub struct CatalogueCut {
    log_gen: LogGen,
    offset: u64,
    digest: u64,
    rows: Vec<Arc<Row>>,
}

impl CatalogueCut {
    /// Cuts the catalogue at the end of the log.
    ///
    /// The offset may lie past the published head by the frames that are just being published.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn take(published: &Published) -> Result<Self, JournalError> {
        let since = published.view.head();
        let mut cut = Self {
            log_gen: published.log_gen(),
            offset: since.offset,
            digest: 0,
            rows: published.view.collect(),
        };
        let mut newer = ProductMap::default();
        cut.fold_log(published, since.seq + 1, &mut newer)?;
        cut.merge(newer);
        let digests = cut.rows.iter().map(|row| row.digest());
        cut.digest = digests.fold(0, u64::wrapping_add);
        Ok(cut)
    }

    /// Folds every durable record from `next` on.
    fn fold_log(
        &mut self,
        published: &Published,
        mut next: u64,
        newer: &mut ProductMap<Row>,
    ) -> Result<(), JournalError> {
        loop {
            let frames = published.journal.frames_from_seq(next, READ_BYTES)?;
            if frames.is_empty() {
                return Ok(());
            }
            for frame in frames {
                for line in frame.lines() {
                    let record =
                        Record::parse(line).map_err(|error| frame.damaged(error.to_string()))?;
                    if record.seq >= next {
                        self.fold_record(record.body, newer);
                    }
                }
                next = frame.header.next_seq();
                self.offset = frame.header.next_offsets().inventory;
            }
        }
    }

    fn fold_record(&mut self, body: Body, newer: &mut ProductMap<Row>) {
        match body {
            Body::Generation(generation) => self.log_gen = generation.log_gen,
            Body::Decision(record) => {
                for event in record.decision.events {
                    let live = event.kind != EventKind::Deleted;
                    let product = event.product;
                    newer.insert(product.id.clone(), Row { product, live });
                }
            }
        }
    }

    /// Puts what the log says over what was gathered.
    fn merge(&mut self, mut newer: ProductMap<Row>) {
        if newer.is_empty() {
            return;
        }
        self.rows.retain_mut(|row| match newer.remove(&row.id) {
            None => true,
            Some(now) => {
                let live = now.live;
                *row = Arc::new(now);
                live
            }
        });
        let added = newer.into_values().filter(|row| row.live);
        self.rows.extend(added.map(Arc::new));
    }

    /// The life of the log that the offset is of.
    #[must_use]
    pub const fn log_gen(&self) -> LogGen {
        self.log_gen
    }

    /// The state after every event below this offset.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Digest of the catalogue.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Products.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the catalogue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes header, products and trailer.
    ///
    /// # Errors
    /// `out` fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut part = Vec::with_capacity(PART_BYTES + 8 * 1024);
        let mut crc = 0;
        let mut encoder = Encoder::new();
        part.extend_from_slice(b"{\"gen\":\"");
        hex16(&mut part, self.log_gen.0);
        part.extend_from_slice(b"\",\"offset\":");
        integer(&mut part, self.offset);
        part.extend_from_slice(b",\"count\":");
        integer(&mut part, self.rows.len());
        part.extend_from_slice(b"}\n");
        for row in &self.rows {
            encoder.product(&mut part, &row.product);
            part.push(b'\n');
            if part.len() >= PART_BYTES {
                crc = crc32c::crc32c_append(crc, &part);
                out.write_all(&part)?;
                part.clear();
            }
        }
        crc = crc32c::crc32c_append(crc, &part);
        part.extend_from_slice(b"{\"count\":");
        integer(&mut part, self.rows.len());
        part.extend_from_slice(format!(",\"crc\":\"{crc:08x}\",\"digest\":\"").as_bytes());
        hex16(&mut part, self.digest);
        part.extend_from_slice(b"\"}\n");
        out.write_all(&part)
    }
}
