//! The bodies of `POST` and `PUT /v1/products`: a product to create, and what is to change of one.
//!
//! A member that the call does not know is a fault, so that a misspelt one is not silently left out;
//! seed 003's admin calls, which ignore it, have bodies of their own. Each function notes what is
//! wrong in its fields and gives what it could read; the caller asks at the end.

use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::{Details, Edit, NewProduct};
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::service::precondition::{Condition, IfMatch};
use shared::wire::problem::Problem;
use shared::wire::unique::object;

use super::fields::{Fields, beside, checked, code_of, key, required_key};
use crate::import::COLUMNS;

/// A product to create, and the key of the call.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_new(
    body: &[u8],
    header: KeyHeader,
) -> Result<(NewProduct, Option<IdempotencyKey>), Problem> {
    let members = object(body).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    only_columns(&mut fields, &["idempotencyKey"]);
    let product = fields.product_id("productId");
    let changes = fields.changes();
    if !fields.has("name") {
        fields.fault("name", "is required");
    }
    let on_hand = fields
        .integer("onHand", 0, limits::STOCK_UNITS)
        .unwrap_or(0);
    // Units that come into the house are a movement of stock.
    let key = if on_hand == 0 {
        key(header, &mut fields)
    } else {
        required_key(header, &mut fields)
    };
    let (Some(product), true) = (product, faults.is_empty()) else {
        return Err(Problem::with_details(code_of(&faults), faults));
    };
    let item = NewProduct {
        product,
        details: changes.onto(&Details::default()),
        on_hand,
    };
    Ok((item, key))
}

/// What is to change of `product`, and the key of the call.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_change(
    product: ProductId,
    body: &[u8],
    header: KeyHeader,
    if_match: &IfMatch,
) -> Result<(Edit, Option<IdempotencyKey>), Problem> {
    let members = object(body)
        .map_err(|problem| beside(problem, [header.as_ref().err(), if_match.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    only_columns(&mut fields, &["version", "idempotencyKey"]);
    let key = key(header, &mut fields);
    if fields.has("productId")
        && fields
            .product_id("productId")
            .is_some_and(|id| id != product)
    {
        fields.fault("productId", "must be the id of the path: ids do not change");
    }
    if fields.has("onHand") {
        let issue = "is taken when a product is created; afterwards stock is moved or counted";
        fields.fault("onHand", issue);
    }
    let item = Edit {
        product,
        changes: fields.changes(),
        expected_version: version(if_match, &mut fields),
    };
    checked((item, key), faults)
}

/// Notes every member that is neither a field of a product nor one of `more`.
fn only_columns(fields: &mut Fields<'_, '_>, more: &[&str]) {
    fields.only(&[COLUMNS.as_slice(), more].concat());
}

/// The version that the caller saw, from the body or the header; `None` overwrites.
fn version(if_match: &IfMatch, fields: &mut Fields<'_, '_>) -> Option<u64> {
    let named = fields.version("version");
    match if_match {
        Err(detail) => {
            fields.add(detail.clone());
            None
        }
        Ok(None) => {
            if !fields.has("version") {
                let issue = "is required: the version that you saw, or null to overwrite";
                fields.fault("version", issue);
            }
            named
        }
        Ok(Some(condition)) => {
            let seen = match condition {
                Condition::Any => None,
                Condition::Version(version) => Some(*version),
            };
            if fields.has("version") && named != seen {
                fields.fault("version", "differs from the If-Match header");
            }
            seen
        }
    }
}
