//! How text is compared: without regard to case.

use std::cmp::Ordering;

use crate::domain::inventory::{Details, Product};

/// Stands between the fields of a product; no UTF-8 text contains it, so no search runs across.
pub(super) const FIELD_END: u8 = 0xff;

/// Appends `text` in lower case, character by character. A final sigma counts as a sigma, so that
/// a part of a word is found whatever stood behind it.
pub(super) fn fold_into(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    } else {
        let mut buffer = [0; 4];
        for letter in text.chars().flat_map(fold_letter) {
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// `text` as [`fold_into`] writes it.
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

/// Compares two texts as if both were folded, without folding them whole.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        one.bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .cmp(other.bytes().map(|byte| byte.to_ascii_lowercase()))
    } else {
        one.chars()
            .flat_map(fold_letter)
            .cmp(other.chars().flat_map(fold_letter))
    }
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

/// Appends the folded fields that a search looks into, each with an end mark.
pub(super) fn fold_searched(out: &mut Vec<u8>, product: &Product) {
    for field in searched(product) {
        fold_into(out, field);
        out.push(FIELD_END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_folds_the_same_in_every_way() {
        for letter in '\u{0}'..=char::MAX {
            let text = letter.to_string();
            let folded = fold(&text);
            assert_eq!(fold(&folded), folded, "{letter:?}");
            assert_eq!(compare(&text, &folded), Ordering::Equal, "{letter:?}");
            let mut bytes = Vec::new();
            fold_into(&mut bytes, &text);
            assert_eq!(bytes, folded.as_bytes());
        }
    }

    #[test]
    fn comparing_is_comparing_folded_texts() {
        let texts = [
            "",
            "a",
            "A",
            "ab",
            "AÄ",
            "aä",
            "äA",
            "z",
            "Σ",
            "ς",
            "\u{10ffff}",
            "~",
        ];
        for one in texts {
            for other in texts {
                let folded = fold(one).cmp(&fold(other));
                assert_eq!(compare(one, other), folded, "{one:?} {other:?}");
            }
        }
    }
}
