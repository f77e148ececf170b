//! What calls about reservations may say, with every fault named.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use shared::domain::ids::{IdempotencyKey, Owner, ProductId, ReservationId, StoreId};
use shared::domain::inventory::Line;
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::wire::problem::Problem;
use shared::wire::unique::object;

use super::fields::{Fields, beside, checked, required_key};

/// What every one of these bodies may say beside its own: for which shop, under which key.
const COMMON: [&str; 2] = ["storeId", "idempotencyKey"];

/// Who asks for what: the shop that the body names, the key, and the rest.
pub(super) struct Asked<T> {
    pub(super) store: Option<StoreId>,
    pub(super) key: IdempotencyKey,
    pub(super) what: T,
}

/// Units to be held.
pub(super) struct NewHold {
    /// The caller's own id for it.
    pub(super) id: Option<ReservationId>,
    pub(super) owner: Option<Owner>,
    pub(super) reference: Option<Arc<str>>,
    pub(super) lines: Vec<Line>,
    pub(super) ttl_millis: i64,
}

/// Reads a body with the members `own` and the common ones. One that is empty says nothing.
fn read<T>(
    body: &[u8],
    header: KeyHeader,
    own: &[&str],
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<Asked<T>, Problem> {
    let members = if body.is_empty() {
        Map::new()
    } else {
        object(body).map_err(|problem| beside(problem, [header.as_ref().err()]))?
    };
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    let known: Vec<&str> = own.iter().chain(&COMMON).copied().collect();
    fields.only(&known);
    let key = required_key(header, &mut fields);
    let store = fields.parsed_by("storeId", StoreId::parse);
    let what = read(&mut fields);
    let asked = key.zip(what).map(|(key, what)| Asked { store, key, what });
    let asked = checked(asked, faults)?;
    // Whatever is not there was noted as a fault.
    asked.ok_or_else(|| Problem::new(super::fields::code_of(&[]), "the body is incomplete"))
}

/// A reservation of several products.
///
/// # Errors
/// 400 with every fault.
pub(super) fn several(body: &[u8], header: KeyHeader) -> Result<Asked<NewHold>, Problem> {
    let own = ["reservationId", "owner", "reference", "lines", "ttlSeconds"];
    read(body, header, &own, |fields| {
        let owner = fields.parsed_by("owner", Owner::parse);
        let owner = fields.required("owner", owner);
        let reference = fields.text("reference", limits::NOTE_BYTES);
        if reference == Some("") {
            fields.fault("reference", "must not be empty");
        }
        let new_id = fields.parsed_by("reservationId", ReservationId::parse);
        let ttl_millis = ttl(fields);
        let lines = lines(fields);
        Some(NewHold {
            id: new_id,
            owner,
            reference: reference.map(Arc::from),
            lines,
            ttl_millis: ttl_millis.unwrap_or_else(|| millis(limits::RESERVATION_TTL_DEFAULT)),
        })
    })
}

/// A reservation of `product` alone.
///
/// # Errors
/// 400 with every fault.
pub(super) fn one(
    product: ProductId,
    body: &[u8],
    header: KeyHeader,
) -> Result<Asked<NewHold>, Problem> {
    let own = ["quantity", "reservationId", "owner", "ttlSeconds"];
    read(body, header, &own, |fields| {
        let new_id = fields.parsed_by("reservationId", ReservationId::parse);
        let owner = fields.parsed_by("owner", Owner::parse);
        let ttl_millis = ttl(fields);
        let quantity = quantity(fields)?;
        let line = Line {
            product_id: product,
            quantity,
        };
        Some(NewHold {
            id: new_id,
            owner,
            reference: None,
            lines: vec![line],
            ttl_millis: ttl_millis.unwrap_or_else(|| millis(limits::RESERVATION_TTL_DEFAULT)),
        })
    })
}

/// Whether a reservation that has run out is to be taken all the same.
///
/// # Errors
/// 400 with every fault.
pub(super) fn commit(body: &[u8], header: KeyHeader) -> Result<Asked<bool>, Problem> {
    read(body, header, &["reacquire"], |fields| {
        Some(fields.boolean("reacquire").unwrap_or(false))
    })
}

/// Nothing but the common members.
///
/// # Errors
/// 400 with every fault.
pub(super) fn release(body: &[u8], header: KeyHeader) -> Result<Asked<()>, Problem> {
    read(body, header, &[], |_| Some(()))
}

/// How long units are to be held from now on, in milliseconds.
///
/// # Errors
/// 400 with every fault.
pub(super) fn extend(body: &[u8], header: KeyHeader) -> Result<Asked<i64>, Problem> {
    read(body, header, &["ttlSeconds"], |fields| {
        let ttl = ttl(fields);
        fields.required("ttlSeconds", ttl)
    })
}

/// Which reservation is to be released.
///
/// # Errors
/// 400 with every fault.
pub(super) fn named(body: &[u8], header: KeyHeader) -> Result<Asked<ReservationId>, Problem> {
    read(body, header, &["reservationId"], |fields| {
        let named = fields.parsed_by("reservationId", ReservationId::parse);
        fields.required("reservationId", named)
    })
}

fn lines(fields: &mut Fields<'_, '_>) -> Vec<Line> {
    let objects: Vec<(usize, &Map<String, Value>)> = fields.objects("lines", limits::BATCH_LINES);
    if objects.is_empty() && !fields.faulty("lines") {
        fields.fault("lines", "must hold at least one line");
    }
    let mut lines = Vec::with_capacity(objects.len());
    for (index, members) in objects {
        let mut fields = fields.within(format!("lines[{index}]"), members);
        fields.only(&["productId", "quantity"]);
        let product = fields.product_id("productId");
        let line = product.zip(quantity(&mut fields));
        lines.extend(line.map(|(product_id, quantity)| Line {
            product_id,
            quantity,
        }));
    }
    lines
}

fn quantity(fields: &mut Fields<'_, '_>) -> Option<i64> {
    let quantity = fields.integer("quantity", 1, limits::DELTA_UNITS);
    fields.required("quantity", quantity)
}

fn ttl(fields: &mut Fields<'_, '_>) -> Option<i64> {
    let most = i64::try_from(limits::RESERVATION_TTL_MAX.as_secs()).unwrap_or(i64::MAX);
    let seconds = fields.integer("ttlSeconds", 1, most)?;
    Some(seconds.saturating_mul(1_000))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
