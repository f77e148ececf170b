//! A snapshot: the state after one record, so that a start need not read the whole log.
//!
//! ```text
//! {"snapshot":1,"seq":…,"offset":…,"orderOffset":…,"at":"…","digest":"…16","keys":n,"entries":n,
//!  "reservations":n,"orders":n,"apiKeys":n,"generations":[…]}
//! {"key":"…","principal":"…","seq":…,"at":"…","fingerprint":"…16"}      n lines, oldest first
//! {"record":…,"live":true,"product":{…}}                               n lines
//! {"reservationId":"…",…}                                              n lines
//! {"record":…,"order":{…}}                                             n lines
//! {"keyId":"…",…}                                                      n lines
//! {"end":{"crc32c":"…8"}}                                              over everything before
//! ```
//!
//! `cut` gathers what it says while the writer goes on, `write` makes the lines of it, `load` reads
//! them back. Here is what the three share: the header.

mod cut;
mod load;
mod write;

use serde::Deserialize;
use shared::clock::Timestamp;
use shared::domain::inventory::state::Entry;

pub use self::cut::{Copied, Cut};
pub use self::load::{keys, load};

use super::fold::Fold;
use crate::journal::{Generation, JournalError, Offsets};

/// Bytes that are written at a time.
const PART_BYTES: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    snapshot: u32,
    seq: u64,
    offset: u64,
    order_offset: u64,
    at: Timestamp,
    digest: String,
    keys: usize,
    entries: usize,
    reservations: usize,
    orders: usize,
    /// Absent where no release before knew of any.
    #[serde(default)]
    api_keys: usize,
    generations: Vec<GenerationText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationText {
    #[serde(rename = "gen")]
    log_gen: String,
    offset: u64,
    order_offset: u64,
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
                start: Offsets {
                    inventory: text.offset,
                    orders: text.order_offset,
                },
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

/// A snapshot of a fold that stands still, for tools and tests.
#[must_use]
pub fn entries_of(fold: &Fold) -> Vec<Entry> {
    fold.state.inventory.entries().cloned().collect()
}
