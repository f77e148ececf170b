//! CSV: a header row with the names of columns, then a product a row.
//!
//! Lines are counted as a person counts them in an editor, whatever ends them and however many of them
//! are inside quotes. What must stay true: no row takes more than its bound of memory, also where a
//! quote is never closed.

use std::cell::Cell;
use std::io::{self, Read};

use shared::domain::inventory::ImportRow;
use shared::limits;

use super::cells::{Cells, clip};
use super::{COLUMNS, FileError, Row, RowError};

/// Bytes that the parser reads at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// What some programs put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(
    mut file: impl Read,
    each: &mut dyn FnMut(Row) -> bool,
) -> Result<(), FileError> {
    // Spreadsheets write a byte-order mark in front of the first name. The CSV reader would take one
    // that comes as a piece of its own for the end of the file.
    let mut head = Vec::new();
    (&mut file).take(3).read_to_end(&mut head)?;
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head);
    let since_row = Cell::new(0);
    let file = RowBounded {
        file: head.chain(file),
        since_row: &since_row,
    };
    // Told to end rows at "\r\n", the reader would count the "\n" to the row after it, and every
    // line that we name would be one too small.
    let mut reader = ::csv::ReaderBuilder::new()
        .flexible(true)
        .terminator(::csv::Terminator::Any(b'\n'))
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(file);
    let header = reader.byte_headers().map_err(as_file_error)?.clone();
    let columns = columns(&header)?;
    let mut record = ::csv::ByteRecord::new();
    loop {
        // The position of the reader before a record is the line on which it begins.
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(as_file_error(error)),
        }
        since_row.set(0);
        let Some(cells) = without_carriage_return(&record) else {
            continue;
        };
        // Empty lines before the row were passed over with it.
        let bytes = cells.iter().flat_map(|cell| *cell);
        let within = bytes.filter(|byte| **byte == b'\n').count() as u64;
        let passed = reader.position().line().saturating_sub(line + within);
        let line = line + passed.saturating_sub(1);
        let parsed = parse_row(line, &columns, &cells);
        if !each(Row { line, parsed }) {
            return Ok(());
        }
    }
}

/// The cells of a row without the first half of a "\r\n" behind the last one, or `None` if there is
/// nothing else in it.
fn without_carriage_return(record: &::csv::ByteRecord) -> Option<Vec<&[u8]>> {
    let mut cells: Vec<&[u8]> = record.iter().collect();
    if let Some(last) = cells.last_mut() {
        *last = last.strip_suffix(b"\r").unwrap_or(last);
    }
    (cells != [b""]).then_some(cells)
}

/// A file of which only so many bytes may be read for one row: a quote that is never closed would
/// make the rest of the file one cell in memory.
struct RowBounded<'a, R> {
    file: R,
    since_row: &'a Cell<usize>,
}

impl<R: Read> Read for RowBounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > limits::IMPORT_ROW_BYTES + BUFFER_BYTES {
            let max = limits::IMPORT_ROW_BYTES;
            let sentence = format!("a row is longer than {max} bytes; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
        }
        let read = self.file.read(buffer)?;
        self.since_row.set(self.since_row.get() + read);
        Ok(read)
    }
}

fn as_file_error(error: ::csv::Error) -> FileError {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => FileError::Io(error),
        other => FileError::Header(format!("the file is not CSV: {other:?}")),
    }
}

/// The columns of the file by place.
fn columns(header: &::csv::ByteRecord) -> Result<Vec<&'static str>, FileError> {
    let mut found: Vec<&'static str> = Vec::new();
    let mut unknown = Vec::new();
    for name in header {
        let text = String::from_utf8_lossy(name);
        match COLUMNS.into_iter().find(|column| *column == text.trim()) {
            Some(column) if found.contains(&column) => {
                return Err(FileError::Header(format!(
                    "the column {column} stands there twice"
                )));
            }
            Some(column) => found.push(column),
            None => unknown.push(clip(&text)),
        }
    }
    if !unknown.is_empty() {
        let known = COLUMNS.join(", ");
        let unknown = unknown.join(", ");
        return Err(FileError::Header(format!(
            "unknown columns: {unknown}; known are {known}"
        )));
    }
    if found.contains(&"productId") {
        Ok(found)
    } else {
        Err(FileError::Header(
            "the header row has no column productId".to_owned(),
        ))
    }
}

fn parse_row(
    line: u64,
    columns: &[&'static str],
    record: &[&[u8]],
) -> Result<ImportRow, Vec<RowError>> {
    let mut cells = Cells::new(line);
    if record.len() != columns.len() {
        let issue = format!(
            "has {} cells, the header has {}",
            record.len(),
            columns.len()
        );
        cells.fault("", "", issue);
        return Err(cells.faults);
    }
    for (column, cell) in columns.iter().zip(record) {
        match std::str::from_utf8(cell) {
            // An empty cell leaves the field as it is.
            Ok("") => {}
            Ok(text) => cells.text(column, text),
            Err(_) => cells.fault(column, &String::from_utf8_lossy(cell), "must be UTF-8"),
        }
    }
    cells.finish()
}
