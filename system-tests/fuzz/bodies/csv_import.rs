//! Any bytes as an import file: it is refused as a whole, or every row names its faults or is within
//! the limits; and in however small pieces it arrives, it says the same.
//!
//! The input's first line is `ndjson` or anything else for CSV.

use std::io::Read;

use central_api::import::{Format, RowError, read};
use shared::domain::inventory::ImportRow;
use shared::limits;

/// Longest text of a fault: sixty-four bytes and an ellipsis, or a sentence about them.
const SHORT: usize = 67;

pub(crate) fn run(data: &[u8]) {
    let (format, file) = match data.strip_prefix(b"ndjson\n") {
        Some(file) => (Format::Ndjson, file),
        None => (Format::Csv, data.strip_prefix(b"csv\n").unwrap_or(data)),
    };
    let whole = rows(format, file);
    let pieces = rows(format, Dribble(file));
    assert_eq!(whole, pieces, "the same file in pieces");
}

type Rows = (Vec<(u64, Result<ImportRow, Vec<RowError>>)>, bool);

fn rows(format: Format, file: impl Read) -> Rows {
    let mut rows = Vec::new();
    let mut last = 0;
    let ended = read(format, file, |row| {
        assert!(row.line >= last, "line {} after {last}", row.line);
        last = row.line;
        match &row.parsed {
            Ok(row) => check_row(row),
            Err(faults) => check_faults(row.line, faults),
        }
        rows.push((row.line, row.parsed));
        true
    });
    (rows, ended.is_ok())
}

fn check_row(row: &ImportRow) {
    let changes = &row.changes;
    let within = |text: Option<&str>, bytes| {
        assert!(text.is_none_or(|text| text.len() <= bytes), "{row:?}");
    };
    within(changes.name.as_deref(), limits::NAME_BYTES);
    within(
        changes.description.as_ref().and_then(Option::as_deref),
        limits::DESCRIPTION_BYTES,
    );
    for label in [&changes.sku, &changes.barcode] {
        within(
            label.as_ref().and_then(Option::as_deref),
            limits::LABEL_BYTES,
        );
    }
    within(
        changes.category.as_ref().and_then(Option::as_deref),
        limits::LABEL_BYTES,
    );
    let threshold = changes.low_stock_threshold.flatten();
    for units in [row.on_hand, threshold].into_iter().flatten() {
        assert!((0..=limits::STOCK_UNITS).contains(&units), "{row:?}");
    }
}

fn check_faults(line: u64, faults: &[RowError]) {
    assert!(!faults.is_empty(), "a bad row without a fault");
    for fault in faults {
        assert_eq!(fault.line, line);
        assert!(
            !fault.issue.is_empty() && fault.issue.len() <= 256,
            "{fault:?}"
        );
        assert!(
            fault.value.len() <= SHORT && fault.column.len() <= SHORT,
            "{fault:?}"
        );
    }
}

/// A byte at a time, as a slow network would.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}
