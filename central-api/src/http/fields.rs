//! Reads the members of a JSON object so that one answer names every fault.
//!
//! For bodies where a few microseconds do not matter: the object is a tree, each getter notes what is
//! wrong and goes on, and the caller asks at the end. The hot path has a typed parse of its own.
//!
//! One type, with a getter for each kind of member: one file, however many kinds there are.

use std::fmt;

use serde_json::{Map, Value};
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::command::Changes;
use shared::domain::money::Money;
use shared::limits;
use shared::service::idempotency::KeyHeader;
use shared::wire::problem::{Detail, Problem, ProblemCode};

/// A body that may be left out: none is an object that says nothing.
#[must_use]
pub fn or_empty(body: &[u8]) -> &[u8] {
    if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    }
}

/// Said of an idempotency key that is needed and not there.
pub(super) const KEY_MISSING: &str = "is required, here or as the Idempotency-Key header";

/// The members of one object, and where faults go.
#[derive(Debug)]
pub struct Fields<'a, 'f> {
    members: &'a Map<String, Value>,
    prefix: String,
    faults: &'f mut Vec<Detail>,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// The members of the object at `prefix` (empty, or ending in a dot).
    pub fn new(
        members: &'a Map<String, Value>,
        prefix: impl Into<String>,
        faults: &'f mut Vec<Detail>,
    ) -> Self {
        Self {
            members,
            prefix: prefix.into(),
            faults,
        }
    }

    /// Notes a fault of `name`.
    pub fn fault(&mut self, name: &str, issue: impl Into<String>) {
        self.faults
            .push(Detail::new(format!("{}{name}", self.prefix), issue));
    }

    /// Notes a fault of something beside the body.
    pub fn add(&mut self, fault: Detail) {
        self.faults.push(fault);
    }

    /// Whether a fault of `name`, or of something in it, was noted.
    #[must_use]
    pub fn faulty(&self, name: &str) -> bool {
        let of_name = |fault: &Detail| {
            let rest = fault.field.strip_prefix(self.prefix.as_str());
            let rest = rest.and_then(|rest| rest.strip_prefix(name));
            // `countedBy` is not in `counted`.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.faults.iter().any(of_name)
    }

    /// Gives `value` back, and notes that `name` is required if there is none and nothing else is
    /// wrong with it.
    pub fn required<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.faulty(name) {
            self.fault(name, "is required");
        }
        value
    }

    /// Notes every member that is not in `known`.
    pub fn only(&mut self, known: &[&str]) {
        let members = self.members.keys();
        let mut unknown = members.filter(|name| !known.contains(&name.as_str()));
        for name in unknown.by_ref().take(limits::UNKNOWN_FIELDS_NAMED) {
            self.fault(name, "is not a field of this call");
        }
        match unknown.count() {
            0 => {}
            more => self.fault("…", format!("{more} more are not fields of this call")),
        }
    }

    /// The members of an object in this one, at `name`; faults go to the same list.
    pub fn within<'s>(
        &'s mut self,
        name: impl fmt::Display,
        members: &'a Map<String, Value>,
    ) -> Fields<'a, 's> {
        Fields::new(members, format!("{}{name}.", self.prefix), self.faults)
    }

    /// Whether `name` is there, null or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether `name` is there and null.
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text of at most `bytes_max` bytes.
    pub fn text(&mut self, name: &str, bytes_max: usize) -> Option<&'a str> {
        match self.value(name)? {
            Value::String(text) if text.len() <= bytes_max => Some(text),
            Value::String(_) => {
                self.fault(name, format!("must be at most {bytes_max} bytes"));
                None
            }
            _ => {
                self.fault(name, "must be a string");
                None
            }
        }
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let value = self.value(name)?;
        match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            Some(_) => {
                self.fault(name, format!("must be from {min} to {max}"));
                None
            }
            None if value.is_u64() => {
                self.fault(name, "is out of range");
                None
            }
            None => {
                self.fault(name, "must be an integer without fraction or exponent");
                None
            }
        }
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.value(name)?.as_bool();
        if value.is_none() {
            self.fault(name, "must be true or false");
        }
        value
    }

    /// Whatever is there.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.value(name)
    }

    /// A number.
    pub fn amount(&mut self, name: &str) -> Option<f64> {
        let number = self.value(name)?.as_f64();
        if number.is_none() {
            self.fault(name, "must be a number");
        }
        number
    }

    /// An amount.
    pub fn money(&mut self, name: &str) -> Option<Money> {
        let parsed = Money::from_number(self.amount(name)?);
        parsed
            .map_err(|error| self.fault(name, error.to_string()))
            .ok()
    }

    /// A version, which may be null.
    pub fn version(&mut self, name: &str) -> Option<u64> {
        self.integer(name, 0, i64::MAX).map(i64::unsigned_abs)
    }

    /// A text that `parse` takes.
    pub fn parsed_by<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name, usize::MAX)?;
        parse(text)
            .map_err(|error| self.fault(name, error.to_string()))
            .ok()
    }

    /// A product id that must be there.
    pub fn product_id(&mut self, name: &str) -> Option<ProductId> {
        let product = self.parsed_by(name, ProductId::parse);
        self.required(name, product)
    }

    /// The array `name`; none if it has more than `max` items.
    pub fn array(&mut self, name: &str, max: usize) -> &'a [Value] {
        match self.value(name) {
            Some(Value::Array(items)) if items.len() <= max => return items,
            Some(Value::Array(_)) => self.fault(name, format!("must hold at most {max} items")),
            Some(_) => self.fault(name, "must be an array"),
            None => {}
        }
        &[]
    }

    /// Objects of the array `name`, with their place; none if it has more than `max` items.
    pub fn objects(&mut self, name: &str, max: usize) -> Vec<(usize, &'a Map<String, Value>)> {
        let items = self.array(name, max);
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::Object(members) => found.push((index, members)),
                _ => self.fault(&format!("{name}[{index}]"), "must be an object"),
            }
        }
        found
    }

    /// The catalogue fields: absent ones stay, null and empty text clear the optional ones.
    pub fn changes(&mut self) -> Changes {
        for name in ["name", "price"] {
            if self.is_null(name) {
                self.fault(name, "must not be null");
            }
        }
        let name = self.text("name", limits::NAME_BYTES).map(Box::from);
        if name.as_deref().is_some_and(str::is_empty) {
            self.fault("name", "must not be empty");
        }
        let price = self.money("price");
        Changes {
            name,
            price,
            ..self.changes_but_name_and_price()
        }
    }

    /// The optional catalogue fields.
    pub fn changes_but_name_and_price(&mut self) -> Changes {
        fn optional<T>(
            fields: &mut Fields<'_, '_>,
            name: &str,
            read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
        ) -> Option<Option<T>> {
            // An empty text says nothing, so it is kept as none.
            let is_text = name != "lowStockThreshold";
            let empty = is_text && fields.value(name).and_then(Value::as_str) == Some("");
            if empty || fields.is_null(name) {
                Some(None)
            } else {
                read(fields).map(Some)
            }
        }
        let label = limits::LABEL_BYTES;
        Changes {
            name: None,
            description: optional(self, "description", |fields| {
                fields
                    .text("description", limits::DESCRIPTION_BYTES)
                    .map(Box::from)
            }),
            category: optional(self, "category", |fields| {
                fields.text("category", label).map(std::sync::Arc::from)
            }),
            sku: optional(self, "sku", |fields| {
                fields.text("sku", label).map(Box::from)
            }),
            barcode: optional(self, "barcode", |fields| {
                fields.text("barcode", label).map(Box::from)
            }),
            price: None,
            low_stock_threshold: optional(self, "lowStockThreshold", |fields| {
                fields.integer("lowStockThreshold", 0, limits::STOCK_UNITS)
            }),
            available: None,
        }
    }
}

/// What is wrong with a body that cannot be read, together with what is wrong beside it.
pub fn beside<'f>(
    mut problem: Problem,
    faults: impl IntoIterator<Item = Option<&'f Detail>>,
) -> Problem {
    let faults = faults.into_iter().flatten().cloned();
    problem.details.extend(faults);
    problem
}

/// The key of a call: the header's, or the body's; both and different is a fault.
pub fn key(header: KeyHeader, fields: &mut Fields<'_, '_>) -> Option<IdempotencyKey> {
    let body = fields.text("idempotencyKey", usize::MAX);
    let header = header.unwrap_or_else(|fault| {
        fields.add(fault);
        None
    });
    match (header, body) {
        (Some(header), Some(body)) if header.as_str() != body => {
            fields.fault("idempotencyKey", "differs from the Idempotency-Key header");
            Some(header)
        }
        (Some(header), _) => Some(header),
        (None, body) => IdempotencyKey::parse(body?)
            .map_err(|error| fields.fault("idempotencyKey", error.to_string()))
            .ok(),
    }
}

/// The key of a call that needs one; see [`key`].
pub fn required_key(header: KeyHeader, fields: &mut Fields<'_, '_>) -> Option<IdempotencyKey> {
    // One that is wrong is not missing as well.
    let is_wrong = header.is_err();
    let key = key(header, fields);
    if key.is_none() && !is_wrong && !fields.faulty("idempotencyKey") {
        fields.fault("idempotencyKey", KEY_MISSING);
    }
    key
}

/// The code of a refused body. A missing key has one of its own, but only where it is the only fault.
#[must_use]
pub fn code_of(faults: &[Detail]) -> ProblemCode {
    match faults {
        [only] if only.field == "idempotencyKey" && only.issue == KEY_MISSING => {
            ProblemCode::IdempotencyKeyRequired
        }
        _ => ProblemCode::InvalidRequest,
    }
}

/// What was read, if nothing was wrong with it.
///
/// # Errors
/// 400 with every fault.
pub fn checked<T>(value: T, faults: Vec<Detail>) -> Result<T, Problem> {
    if faults.is_empty() {
        Ok(value)
    } else {
        Err(Problem::with_details(code_of(&faults), faults))
    }
}
