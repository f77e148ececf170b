//! Rows of an import: what a line of CSV or NDJSON asks for, and what is wrong with it.
//!
//! Reading is a plain iterator over a [`Read`], so that a request's body, a file and a fuzzer go the
//! same way. A bad row is an item like any other: it carries its faults and the rest goes on. Only a
//! file whose header or encoding makes no sense ends the reading.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

use serde::Serialize;
use serde_json::{Map, Value};
use shared::domain::ids::ProductId;
use shared::domain::inventory::ImportRow;
use shared::domain::inventory::command::Changes;
use shared::domain::money::Money;
use shared::limits;

/// The columns, which are the fields of a product that can be set.
pub const COLUMNS: [&str; 9] = [
    "productId",
    "name",
    "description",
    "category",
    "sku",
    "barcode",
    "price",
    "lowStockThreshold",
    "onHand",
];

/// Fields of an exported product that an import passes over, since they follow from others.
const DERIVED: [&str; 5] = [
    "reserved",
    "allotted",
    "available",
    "version",
    "lastUpdated",
];

/// Faults of one row that are kept: a row of nothing but unknown fields could have thousands.
const ROW_FAULTS: usize = 16;
/// Bytes that the CSV parser reads at a time.
const CSV_BUFFER_BYTES: usize = 64 * 1024;
/// What some programs put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header row.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// One fault of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RowError {
    /// Line of the file, from 1.
    pub line: u64,
    /// The column, or empty for the row as a whole.
    pub column: String,
    /// What stood there, cut to a readable length.
    pub value: String,
    /// What is wrong with it.
    pub issue: String,
}

/// A row and the line it stands on.
#[derive(Debug)]
pub struct Row {
    /// Line of the file, from 1.
    pub line: u64,
    /// What it asks for, or its faults.
    pub parsed: Result<ImportRow, Vec<RowError>>,
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read to its end.
    #[error("the file could not be read: {0}")]
    Io(#[from] std::io::Error),
    /// The header row does not fit.
    #[error("{0}")]
    Header(String),
}

/// Calls `each` with every row of `file`, until it returns `false`.
///
/// # Errors
/// The file makes no sense as a whole, or ends early.
pub fn read(
    format: Format,
    file: impl Read,
    mut each: impl FnMut(Row) -> bool,
) -> Result<(), FileError> {
    match format {
        Format::Csv => read_csv(file, &mut each),
        Format::Ndjson => read_ndjson(file, &mut each),
    }
}

fn read_csv(mut file: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), FileError> {
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
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .terminator(csv::Terminator::Any(b'\n'))
        .buffer_capacity(CSV_BUFFER_BYTES)
        .from_reader(file);
    let header = reader.byte_headers().map_err(csv_error)?.clone();
    let columns = columns(&header)?;
    let mut record = csv::ByteRecord::new();
    loop {
        // The position of the reader before a record is the line on which it begins.
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(csv_error(error)),
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
        let parsed = csv_row(line, &columns, &cells);
        if !each(Row { line, parsed }) {
            return Ok(());
        }
    }
}

/// The cells of a row without the first half of a "\r\n" behind the last one, or `None` if there is
/// nothing else in it.
fn without_carriage_return(record: &csv::ByteRecord) -> Option<Vec<&[u8]>> {
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
        if self.since_row.get() > limits::IMPORT_ROW_BYTES + CSV_BUFFER_BYTES {
            let max = limits::IMPORT_ROW_BYTES;
            let sentence = format!("a row is longer than {max} bytes; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
        }
        let read = self.file.read(buffer)?;
        self.since_row.set(self.since_row.get() + read);
        Ok(read)
    }
}

fn csv_error(error: csv::Error) -> FileError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => FileError::Io(error),
        other => FileError::Header(format!("the file is not CSV: {other:?}")),
    }
}

/// The columns of the file by place.
fn columns(header: &csv::ByteRecord) -> Result<Vec<&'static str>, FileError> {
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

fn csv_row(
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

fn read_ndjson(file: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), FileError> {
    let mut file = BufReader::with_capacity(256 * 1024, file);
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        text.clear();
        line += 1;
        let limit = limits::IMPORT_ROW_BYTES as u64 + 1;
        let read = (&mut file).take(limit).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(());
        }
        if text.last() != Some(&b'\n') && read as u64 == limit {
            skip_line(&mut file)?;
            let mut cells = Cells::new(line);
            let issue = format!("is longer than {} bytes", limits::IMPORT_ROW_BYTES);
            cells.fault("", "", issue);
            let parsed = Err(cells.faults);
            if !each(Row { line, parsed }) {
                return Ok(());
            }
            continue;
        }
        let row = text.trim_ascii();
        if row.is_empty() {
            continue;
        }
        let parsed = ndjson_row(line, row);
        if !each(Row { line, parsed }) {
            return Ok(());
        }
    }
}

/// Passes over the rest of a line without keeping it.
fn skip_line(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        let (used, found) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        file.consume(used);
        if found {
            return Ok(());
        }
    }
}

fn ndjson_row(line: u64, text: &[u8]) -> Result<ImportRow, Vec<RowError>> {
    let mut cells = Cells::new(line);
    let members: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => {
            cells.fault("", &String::from_utf8_lossy(text), "must be a JSON object");
            return Err(cells.faults);
        }
        Err(error) => {
            cells.fault("", &String::from_utf8_lossy(text), error.to_string());
            return Err(cells.faults);
        }
    };
    for (name, value) in &members {
        let column = COLUMNS.into_iter().find(|column| column == name);
        match (column, value) {
            (None, _) if DERIVED.contains(&name.as_str()) => {}
            (None, _) => cells.fault(name, "", "is not a field of an import"),
            (Some(column), Value::Null) => cells.clear(column),
            (Some(column), Value::String(text)) => cells.string(column, text),
            (Some(column), Value::Number(number)) => cells.number(column, number),
            (Some(column), other) => {
                cells.fault(column, &other.to_string(), "must be a string or a number");
            }
        }
    }
    cells.finish()
}

/// The cells of one row as they are understood.
struct Cells {
    line: u64,
    product: Option<ProductId>,
    changes: Changes,
    on_hand: Option<i64>,
    named: bool,
    faults: Vec<RowError>,
}

impl Cells {
    fn new(line: u64) -> Self {
        Self {
            line,
            product: None,
            changes: Changes::default(),
            on_hand: None,
            named: false,
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, column: &str, value: &str, issue: impl Into<String>) {
        if self.faults.len() >= ROW_FAULTS {
            return;
        }
        let (line, column) = (self.line, clip(column));
        self.faults.push(RowError {
            line,
            column,
            value: clip(value),
            issue: issue.into(),
        });
    }

    /// A cell of CSV, where everything is text.
    fn text(&mut self, column: &str, text: &str) {
        match column {
            "price" => match Money::parse(text) {
                Ok(price) => self.changes.price = Some(price),
                Err(error) => self.fault(column, text, error.to_string()),
            },
            "lowStockThreshold" | "onHand" => match text.parse::<i64>() {
                Ok(units) if !text.starts_with('+') => self.units(column, text, units),
                _ => self.fault(column, text, "must be a whole number"),
            },
            _ => self.string(column, text),
        }
    }

    /// A text of NDJSON, or a text column of CSV.
    fn string(&mut self, column: &str, text: &str) {
        let bytes_max = match column {
            "productId" => {
                self.named = true;
                match ProductId::parse(text) {
                    Ok(id) => self.product = Some(id),
                    Err(error) => self.fault(column, text, error.to_string()),
                }
                return;
            }
            "name" => limits::NAME_BYTES,
            "description" => limits::DESCRIPTION_BYTES,
            "category" | "sku" | "barcode" => limits::LABEL_BYTES,
            _ => return self.fault(column, text, "must be a number"),
        };
        if text.len() > bytes_max {
            return self.fault(column, text, format!("must be at most {bytes_max} bytes"));
        }
        let changes = &mut self.changes;
        match column {
            // An empty text says nothing, so it is kept as none.
            "description" | "category" | "sku" | "barcode" if text.is_empty() => self.clear(column),
            "name" if text.is_empty() => self.fault(column, text, "must not be empty"),
            "name" => changes.name = Some(text.into()),
            "description" => changes.description = Some(Some(text.into())),
            "category" => changes.category = Some(Some(text.into())),
            "sku" => changes.sku = Some(Some(text.into())),
            _ => changes.barcode = Some(Some(text.into())),
        }
    }

    /// A null, which clears what may be absent.
    fn clear(&mut self, column: &str) {
        let changes = &mut self.changes;
        match column {
            "description" => changes.description = Some(None),
            "category" => changes.category = Some(None),
            "sku" => changes.sku = Some(None),
            "barcode" => changes.barcode = Some(None),
            "lowStockThreshold" => changes.low_stock_threshold = Some(None),
            _ => self.fault(column, "null", "must not be null"),
        }
    }

    fn number(&mut self, column: &str, number: &serde_json::Number) {
        let text = number.to_string();
        match column {
            "price" => match Money::from_number(number.as_f64().unwrap_or(f64::NAN)) {
                Ok(price) => self.changes.price = Some(price),
                Err(error) => self.fault(column, &text, error.to_string()),
            },
            "lowStockThreshold" | "onHand" => match number.as_i64() {
                Some(units) => self.units(column, &text, units),
                None => self.fault(column, &text, "must be a whole number"),
            },
            _ => self.fault(column, &text, "must be a string"),
        }
    }

    fn units(&mut self, column: &str, text: &str, units: i64) {
        if !(0..=limits::STOCK_UNITS).contains(&units) {
            let issue = format!("must be from 0 to {}", limits::STOCK_UNITS);
            self.fault(column, text, issue);
        } else if column == "onHand" {
            self.on_hand = Some(units);
        } else {
            self.changes.low_stock_threshold = Some(Some(units));
        }
    }

    fn finish(mut self) -> Result<ImportRow, Vec<RowError>> {
        if !self.named {
            self.fault("productId", "", "is required");
        }
        match self.product {
            Some(product) if self.faults.is_empty() => Ok(ImportRow {
                product,
                changes: self.changes,
                on_hand: self.on_hand,
            }),
            _ => Err(self.faults),
        }
    }
}

/// A text cut to what a person wants to see of it.
fn clip(text: &str) -> String {
    let end = text.floor_char_boundary(64);
    let cut = text.get(..end).unwrap_or_default();
    if end < text.len() {
        format!("{cut}…")
    } else {
        cut.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(format: Format, text: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        read(format, text.as_bytes(), |row| {
            rows.push(row);
            true
        })
        .unwrap();
        rows
    }

    #[test]
    fn columns_come_in_any_order_and_lines_are_those_of_the_file() {
        let text =
            "name,productId,onHand,price\n\"Two\nlines\",A,5,1.50\n,B,,\nC name,C,-1,1.555\n";
        let rows = rows(Format::Csv, text);
        let first = rows[0].parsed.as_ref().unwrap();
        assert_eq!((first.product.as_str(), first.on_hand), ("A", Some(5)));
        assert_eq!(first.changes.name.as_deref(), Some("Two\nlines"));
        let second = rows[1].parsed.as_ref().unwrap();
        assert_eq!(
            (rows[1].line, second.changes.name.as_deref(), second.on_hand),
            (4, None, None)
        );
        let faults = rows[2].parsed.as_ref().unwrap_err();
        let named: Vec<_> = faults
            .iter()
            .map(|fault| (fault.line, &*fault.column))
            .collect();
        assert_eq!(named, [(5, "onHand"), (5, "price")]);
    }

    #[test]
    fn a_spreadsheets_file_is_read_with_its_mark_and_its_line_ends() {
        let lines = [
            "productId,name,price,description",
            "A,\"Say \"\"hi\"\", now\",1.50,\"two\nlines\"",
            "",
            "B,b,1.555,",
            "C,c,2,\"quoted\"",
            "D,d,x,",
        ];
        for mark in ["", "\u{feff}"] {
            for end in ["\n", "\r\n"] {
                for last in ["", end] {
                    let text = format!("{mark}{}{last}", lines.join(end));
                    let rows = rows(Format::Csv, &text);
                    let at: Vec<_> = rows.iter().map(|row| row.line).collect();
                    assert_eq!(at, [2, 5, 6, 7], "{text:?}");
                    let first = rows[0].parsed.as_ref().unwrap();
                    assert_eq!(first.changes.name.as_deref(), Some("Say \"hi\", now"));
                    let faults = rows[1].parsed.as_ref().unwrap_err();
                    assert_eq!((&*faults[0].column, faults[0].line), ("price", 5));
                    let third = rows[2].parsed.as_ref().unwrap();
                    let description = third.changes.description.clone().flatten();
                    assert_eq!(description.as_deref(), Some("quoted"));
                    assert_eq!(rows[3].parsed.as_ref().unwrap_err().len(), 1);
                }
            }
        }
    }

    #[test]
    fn an_exported_line_can_be_imported() {
        let text = r#"{"productId":"A","name":"N","price":9.5,"onHand":3,"reserved":1,"allotted":0,"available":2,"version":4,"lastUpdated":"2026-01-15T10:30:00.123Z"}"#;
        assert!(rows(Format::Ndjson, text)[0].parsed.is_ok());
    }

    #[test]
    fn every_fault_of_a_row_is_named_and_the_next_row_goes_on() {
        let text = "{\"productId\":\"a b\",\"onHand\":1.5,\"price\":\"x\",\"colour\":1}\n[]\n\nnope\n{\"productId\":\"B\"}\n";
        let rows = rows(Format::Ndjson, text);
        let named = |row: &Row| -> Vec<String> {
            row.parsed
                .as_ref()
                .unwrap_err()
                .iter()
                .map(|fault| fault.column.clone())
                .collect()
        };
        assert_eq!(named(&rows[0]), ["colour", "onHand", "price", "productId"]);
        assert_eq!((named(&rows[1]), rows[1].line), (vec![String::new()], 2));
        assert_eq!(rows[2].line, 4);
        assert!(rows[3].parsed.is_ok());
    }

    #[test]
    fn a_header_that_does_not_fit_refuses_the_file() {
        for (text, word) in [
            ("name\nx\n", "productId"),
            ("productId,colour\nA,red\n", "colour"),
            ("productId,productId\nA,A\n", "twice"),
        ] {
            let error = read(Format::Csv, text.as_bytes(), |_| true).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
