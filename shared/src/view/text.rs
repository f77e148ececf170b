//! How text is compared: without regard to case.

use crate::domain::inventory::{Details, Product};

/// `text` in lower case, character by character. A final sigma counts as a sigma, so that a part of
/// a word is found whatever stood behind it.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.chars().flat_map(fold_letter).collect()
    }
}

fn fold_letter(letter: char) -> impl Iterator<Item = char> {
    letter
        .to_lowercase()
        .map(|lower| if lower == 'ς' { 'σ' } else { lower })
}

/// The fields that a search looks into.
pub(super) fn searched(product: &Product) -> impl Iterator<Item = &str> {
    let Details {
        name,
        category,
        sku,
        barcode,
        description: _,
        price: _,
        low_stock_threshold: _,
    } = &*product.details;
    [
        Some(product.id.as_str()),
        Some(&**name),
        sku.as_deref(),
        barcode.as_deref(),
        category.as_deref(),
    ]
    .into_iter()
    .flatten()
}
