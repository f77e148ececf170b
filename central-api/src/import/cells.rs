//! The cells of one row, from either form, and what is wrong with them.
//!
//! CSV has only text, NDJSON has numbers and nulls too; what a column may hold is said once, here.

use shared::domain::ids::ProductId;
use shared::domain::inventory::ImportRow;
use shared::domain::inventory::command::Changes;
use shared::domain::money::Money;
use shared::limits;

use super::RowError;

/// The cells of one row as they are understood.
pub(super) struct Cells {
    line: u64,
    product: Option<ProductId>,
    changes: Changes,
    on_hand: Option<i64>,
    named: bool,
    pub(super) faults: Vec<RowError>,
}

impl Cells {
    pub(super) fn new(line: u64) -> Self {
        Self {
            line,
            product: None,
            changes: Changes::default(),
            on_hand: None,
            named: false,
            faults: Vec::new(),
        }
    }

    pub(super) fn fault(&mut self, column: &str, value: &str, issue: impl Into<String>) {
        if self.faults.len() >= limits::IMPORT_ROW_FAULTS {
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
    pub(super) fn text(&mut self, column: &str, text: &str) {
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
    pub(super) fn string(&mut self, column: &str, text: &str) {
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
    pub(super) fn clear(&mut self, column: &str) {
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

    pub(super) fn number(&mut self, column: &str, number: &serde_json::Number) {
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

    pub(super) fn finish(mut self) -> Result<ImportRow, Vec<RowError>> {
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
pub(super) fn clip(text: &str) -> String {
    let end = text.floor_char_boundary(64);
    let cut = text.get(..end).unwrap_or_default();
    if end < text.len() {
        format!("{cut}…")
    } else {
        cut.to_owned()
    }
}
