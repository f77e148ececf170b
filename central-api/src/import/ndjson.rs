//! NDJSON: a product a line, in the form in which an export writes it.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::{Map, Value};
use shared::domain::inventory::ImportRow;
use shared::limits;
use shared::wire::unique::Unique;

use super::cells::Cells;
use super::{COLUMNS, FileError, Row, RowError};

/// Fields of an exported product that an import passes over, since they follow from others.
const DERIVED: [&str; 5] = [
    "reserved",
    "allotted",
    "available",
    "version",
    "lastUpdated",
];

pub(super) fn read(file: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), FileError> {
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
        let parsed = parse_row(line, row);
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

fn parse_row(line: u64, text: &[u8]) -> Result<ImportRow, Vec<RowError>> {
    let mut cells = Cells::new(line);
    let members: Map<String, Value> = match serde_json::from_slice(text).map(|Unique(row)| row) {
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
