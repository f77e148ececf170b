//! The catalogue as a file that an import takes back: CSV for spreadsheets, NDJSON for programs.
//!
//! CSV has exactly the columns of an import. A cell is written as it is, even if it begins with `=`
//! or `+`: changing it would break the way back, and a spreadsheet that runs formulas of files it
//! opens is to be told not to.
//!
//! Left out: reservations and orders. An import could not take them back, since holds end by time and
//! orders have money elsewhere. What they hold is still in the house and in `onHand`; NDJSON has it as
//! `reserved` too, which an import passes over. To move a service with its books, copy its folder.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use shared::causes::chain;
use shared::disk::{Disk, FsDisk};
use shared::domain::inventory::Product;
use shared::wire::product::Encoder;

use crate::cli::complain;
use crate::config::Config;
use crate::import::COLUMNS;
use crate::journal::embedded::EmbeddedOptions;
use crate::ledger::KeyRetention;
use crate::ledger::open::recover;
use crate::startup::DataLock;

/// Bytes of one part.
const PART_BYTES: usize = 256 * 1024;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values with a header row.
    Csv,
    /// One product a line.
    Ndjson,
}

/// Writes `products` in parts of about a quarter of a megabyte, until `part` returns `false`.
pub fn write<'a>(
    format: ExportFormat,
    products: impl Iterator<Item = &'a Product>,
    mut part: impl FnMut(Vec<u8>) -> bool,
) {
    let mut out = Vec::with_capacity(PART_BYTES + 4_096);
    let mut encoder = Encoder::new();
    if format == ExportFormat::Csv {
        out.extend_from_slice(COLUMNS.join(",").as_bytes());
        out.push(b'\n');
    }
    for product in products {
        match format {
            ExportFormat::Csv => csv_row(&mut out, product),
            ExportFormat::Ndjson => {
                encoder.product(&mut out, product);
                out.push(b'\n');
            }
        }
        if out.len() >= PART_BYTES && !part(std::mem::take(&mut out)) {
            return;
        }
    }
    if !out.is_empty() {
        part(out);
    }
}

fn csv_row(out: &mut Vec<u8>, product: &Product) {
    let details = &*product.details;
    let threshold = details.low_stock_threshold.map(|units| units.to_string());
    let cells = [
        product.id.as_str(),
        &details.name,
        details.description.as_deref().unwrap_or_default(),
        details.category.as_deref().unwrap_or_default(),
        details.sku.as_deref().unwrap_or_default(),
        details.barcode.as_deref().unwrap_or_default(),
        &details.price.to_string(),
        threshold.as_deref().unwrap_or_default(),
        &product.stock.on_hand.to_string(),
    ];
    let mut writer = csv::Writer::from_writer(&mut *out);
    writer
        .write_record(cells)
        .expect("writing to a Vec cannot fail");
    writer.flush().expect("writing to a Vec cannot fail");
}

/// `central-api export`: writes the catalogue of a stopped service to standard output.
#[must_use]
pub fn main(config: &Config, format: ExportFormat) -> ExitCode {
    // Asked first, since whoever takes the folder makes it: a mistyped one would be an empty catalogue.
    if !config.data_dir.join("journal").is_dir() {
        let folder = config.data_dir.display();
        complain(&format!("there is no journal in {folder}"));
        return ExitCode::FAILURE;
    }
    let _lock = match DataLock::take(&config.data_dir) {
        Ok(lock) => lock,
        Err(error) => {
            complain(&chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let options = EmbeddedOptions {
        dir: config.data_dir.clone(),
        segment_bytes: config.segment_bytes,
    };
    let recovered = match recover(&disk, &options, KeyRetention::default()) {
        Ok(recovered) => recovered,
        Err(error) => {
            complain(&chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let live = recovered
        .fold
        .state
        .inventory
        .entries()
        .filter(|entry| entry.live);
    let mut products: Vec<&Product> = live.map(|entry| &entry.product).collect();
    products.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let mut output = std::io::stdout().lock();
    let mut outcome = Ok(());
    write(format, products.into_iter(), |part| {
        outcome = output.write_all(&part);
        outcome.is_ok()
    });
    match outcome.and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot write: {error}"));
            ExitCode::FAILURE
        }
    }
}
