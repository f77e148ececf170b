//! Rows of an import: what a line of CSV or NDJSON asks for, and what is wrong with it.
//!
//! Reading is a plain iterator over a [`Read`], so that a request's body, a file and a fuzzer go the
//! same way. A bad row is an item like any other: it carries its faults and the rest goes on. Only a
//! file whose header or encoding makes no sense ends the reading.

mod cells;
mod csv;
mod ndjson;

use std::io::Read;

use serde::Serialize;
use shared::domain::inventory::ImportRow;

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
        Format::Csv => csv::read(file, &mut each),
        Format::Ndjson => ndjson::read(file, &mut each),
    }
}

#[cfg(test)]
mod tests;
