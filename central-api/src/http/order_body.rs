//! The bodies of the calls about orders. One answer names every fault.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use shared::domain::ids::{CustomerId, IdempotencyKey, StoreId};
use shared::domain::inventory::Line;
use shared::domain::money::Money;
use shared::domain::order::{Address, OrderStatus, Place};
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::service::precondition::{Condition, IfMatch};
use shared::wire::problem::Problem;
use shared::wire::unique::object;

use super::fields::{Fields, beside, checked, code_of, key, or_empty, required_key};
use crate::ids::OrderIds;

/// An order that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    key: IdempotencyKey,
    customer: CustomerId,
    /// The shop that the body names.
    pub(super) store: Option<StoreId>,
    lines: Vec<Line>,
    address: Option<Address>,
    method: Option<Arc<str>>,
    confirm: bool,
    expected_total: Option<Money>,
}

impl Asked {
    /// The key of the call, and what is to be decided.
    pub(super) fn into_place(
        self,
        ids: OrderIds,
        store: Option<StoreId>,
        currency: Arc<str>,
        is_payable: bool,
    ) -> (IdempotencyKey, Place) {
        let OrderIds {
            order,
            reservation,
            payment,
        } = ids;
        let ttl = limits::RESERVATION_TTL_DEFAULT.as_millis();
        let place = Place {
            order,
            reservation,
            payment,
            customer: self.customer,
            store,
            lines: self.lines,
            address: self.address,
            method: self.method,
            confirm: self.confirm,
            expected_total: self.expected_total,
            currency,
            ttl_millis: i64::try_from(ttl).unwrap_or(i64::MAX),
            is_payable,
        };
        (self.key, place)
    }
}

/// What a call about one order says of itself.
#[derive(Debug)]
pub(super) struct Step {
    /// Its key.
    pub(super) key: Option<IdempotencyKey>,
    /// The version in the body.
    version: Option<u64>,
    /// What `If-Match` says.
    pub(super) condition: Option<Condition>,
}

impl Step {
    /// The version that the caller saw.
    pub(super) fn expected_version(&self) -> Option<u64> {
        match self.condition {
            Some(Condition::Version(version)) => Some(version),
            Some(Condition::Any) | None => self.version,
        }
    }
}

/// An order that is asked for.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_order(body: &[u8], header: KeyHeader) -> Result<Asked, Problem> {
    let members = object(body).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&[
        "customerId",
        "items",
        "shippingAddress",
        "paymentMethod",
        "storeId",
        "confirm",
        "expectedTotal",
        "idempotencyKey",
    ]);
    let customer = required_id(&mut fields, "customerId", CustomerId::parse);
    let store = fields.parsed_by("storeId", StoreId::parse);
    let lines = lines(&mut fields, limits::ORDER_ITEMS);
    let address = address(&mut fields);
    let method = fields.text("paymentMethod", limits::LABEL_BYTES);
    if method.is_some_and(str::is_empty) {
        fields.fault("paymentMethod", "must not be empty");
    }
    let confirm = fields.boolean("confirm").unwrap_or(true);
    let expected_total = fields.money("expectedTotal");
    let key = required_key(header, &mut fields);
    match (customer, key) {
        (Some(customer), Some(key)) if faults.is_empty() => Ok(Asked {
            key,
            customer,
            store,
            lines,
            address,
            method: method.map(Arc::from),
            confirm,
            expected_total,
        }),
        _ => Err(Problem::with_details(code_of(&faults), faults)),
    }
}

/// What a call that takes an order on says; its body may be empty.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_step(
    body: &[u8],
    header: KeyHeader,
    if_match: &IfMatch,
    needs_key: bool,
) -> Result<Step, Problem> {
    let members = object(or_empty(body))
        .map_err(|problem| beside(problem, [header.as_ref().err(), if_match.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["version", "idempotencyKey"]);
    let step = step(header, if_match, needs_key, &mut fields);
    checked(step, faults)
}

/// The status that is asked for.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_status(
    body: &[u8],
    header: KeyHeader,
    if_match: &IfMatch,
) -> Result<(OrderStatus, Step), Problem> {
    let members = object(body)
        .map_err(|problem| beside(problem, [header.as_ref().err(), if_match.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["status", "version", "idempotencyKey"]);
    let text = fields.text("status", limits::LABEL_BYTES);
    let text = fields.required("status", text);
    // Seed 002 writes them in capitals.
    let status = text.and_then(|text| OrderStatus::parse(&text.to_ascii_lowercase()));
    if text.is_some() && status.is_none() {
        let words: Vec<&str> = OrderStatus::ALL.iter().map(|it| it.as_str()).collect();
        fields.fault("status", format!("must be one of {}", words.join(", ")));
    }
    let needs_key = matches!(
        status,
        Some(OrderStatus::Confirmed | OrderStatus::Cancelled)
    );
    let step = step(header, if_match, needs_key, &mut fields);
    let status = checked(status, faults)?;
    let missing = || {
        Problem::new(
            shared::wire::problem::ProblemCode::InvalidRequest,
            "no status",
        )
    };
    Ok((status.ok_or_else(missing)?, step))
}

/// Where the order is to go instead.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_address(
    body: &[u8],
    header: KeyHeader,
    if_match: &IfMatch,
) -> Result<(Address, Step), Problem> {
    let members = object(body)
        .map_err(|problem| beside(problem, [header.as_ref().err(), if_match.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["shippingAddress", "version", "idempotencyKey"]);
    let address = address(&mut fields);
    let address = fields.required("shippingAddress", address);
    let step = step(header, if_match, false, &mut fields);
    let address = checked(address, faults)?;
    let missing = || {
        Problem::new(
            shared::wire::problem::ProblemCode::InvalidRequest,
            "no address",
        )
    };
    Ok((address.ok_or_else(missing)?, step))
}

/// How much is to go back, and what else the call says.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_refund(
    body: &[u8],
    header: KeyHeader,
) -> Result<(Option<Money>, Step), Problem> {
    let members =
        object(or_empty(body)).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["amount", "idempotencyKey"]);
    let amount = more_than_nothing(&mut fields);
    let step = step(header, &Ok(None), true, &mut fields);
    checked((amount, step), faults)
}

/// What was given back by other means.
#[derive(Debug)]
pub(super) struct Settled {
    /// How much; all that is left if it is not said.
    pub(super) amount: Option<Money>,
    /// How.
    pub(super) note: Arc<str>,
}

/// What was given back by other means, and what else the call says.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse_settle(body: &[u8], header: KeyHeader) -> Result<(Settled, Step), Problem> {
    let members = object(body).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["amount", "note", "idempotencyKey"]);
    let amount = more_than_nothing(&mut fields);
    let note = fields.text("note", limits::NOTE_BYTES);
    let note = fields.required("note", note).unwrap_or_default();
    if note.trim().is_empty() && fields.has("note") && !fields.faulty("note") {
        fields.fault("note", "must say something");
    }
    let note = note.into();
    let step = step(header, &Ok(None), true, &mut fields);
    checked((Settled { amount, note }, step), faults)
}

fn more_than_nothing(fields: &mut Fields<'_, '_>) -> Option<Money> {
    let amount = fields.money("amount");
    if amount == Some(Money::ZERO) {
        fields.fault("amount", "must be more than nothing");
    }
    amount
}

fn step(
    header: KeyHeader,
    if_match: &IfMatch,
    needs_key: bool,
    fields: &mut Fields<'_, '_>,
) -> Step {
    let version = fields.version("version");
    let condition = match if_match {
        Ok(condition) => *condition,
        Err(fault) => {
            fields.add(fault.clone());
            None
        }
    };
    if let (Some(named), Some(Condition::Version(seen))) = (version, condition)
        && named != seen
    {
        fields.fault("version", "differs from the If-Match header");
    }
    let key = if needs_key {
        required_key(header, fields)
    } else {
        key(header, fields)
    };
    Step {
        key,
        version,
        condition,
    }
}

/// `items`: what is bought or held, each a product and at least one unit of it.
pub(super) fn lines(fields: &mut Fields<'_, '_>, max: usize) -> Vec<Line> {
    if !fields.has("items") {
        fields.fault("items", "is required");
        return Vec::new();
    }
    let objects = fields.objects("items", max);
    if objects.is_empty() && !fields.faulty("items") {
        fields.fault("items", "must hold at least one item");
    }
    let mut lines = Vec::with_capacity(objects.len());
    for (index, members) in objects {
        let mut item = fields.within(format!("items[{index}]"), members);
        item.only(&["productId", "quantity"]);
        let product = item.product_id("productId");
        let quantity = item.integer("quantity", 1, limits::DELTA_UNITS);
        let quantity = item.required("quantity", quantity);
        if let (Some(product_id), Some(quantity)) = (product, quantity) {
            lines.push(Line {
                product_id,
                quantity,
            });
        }
    }
    lines
}

fn address(fields: &mut Fields<'_, '_>) -> Option<Address> {
    let value = fields.raw("shippingAddress")?;
    let fits = match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    };
    if !fits {
        fields.fault(
            "shippingAddress",
            "must be a text or an object that says something",
        );
        return None;
    }
    let text = serde_json::to_string(value).ok()?;
    if text.len() > limits::ADDRESS_BYTES {
        let most = limits::ADDRESS_BYTES;
        fields.fault(
            "shippingAddress",
            format!("must be at most {most} bytes of JSON"),
        );
        return None;
    }
    RawValue::from_string(text)
        .ok()
        .map(|raw| Address::new(&raw))
}

fn required_id<T, E: std::fmt::Display>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let id = fields.parsed_by(name, parse);
    fields.required(name, id)
}
