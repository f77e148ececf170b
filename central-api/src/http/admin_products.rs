//! Seed 003's admin calls: create, set and delete products, each item for itself.
//!
//! They come without a key, as that API had none; a key in the header or the body is honoured. A body
//! that breaks a rule refuses the request and names every fault; what only the catalogue can refuse
//! is refused by item.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use shared::domain::ids::ProductId;
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::{
    Atomicity, Command, Deletion, Details, Edit, ItemResult, NewProduct, Rejection,
};
use shared::domain::money::{InvalidMoney, Money};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::unique::object;

use super::decision::{decide, mark, origin};
use super::fields::{Fields, beside, key};
use super::refusal;
use super::schema_products::{SeedAnswer, SeedCreate, SeedDelete, SeedSet};
use super::{AppState, examples};
use crate::ledger::Decided;

shared::problem_set! {
    /// What a whole request can be refused for; items are refused one by one.
    SeedProblems = InvalidRequest | ValidationError | IdempotencyKeyReused | Overloaded
        | ShuttingDown | StorageFull | Timeout;
}

/// One call: what its body means, and what its summary counts.
struct Call {
    command: fn(&mut Fields<'_, '_>) -> Result<Command, Problem>,
    succeeded: &'static str,
    failed: &'static str,
}

const CREATE: Call = Call {
    command: |fields| {
        Ok(Command::Create {
            items: each(fields, new_product)?,
            atomicity: Atomicity::PerItem,
        })
    },
    succeeded: "successfulCreations",
    failed: "failedCreations",
};

const SET: Call = Call {
    command: |fields| {
        Ok(Command::Edit {
            items: each(fields, edit)?,
            atomicity: Atomicity::PerItem,
        })
    },
    succeeded: "successfulUpdates",
    failed: "failedUpdates",
};

const DELETE: Call = Call {
    command: |fields| {
        Ok(Command::Delete {
            items: deletions(fields)?,
            atomicity: Atomicity::PerItem,
        })
    },
    succeeded: "successfulDeletions",
    failed: "failedDeletions",
};

/// Creates products, each for itself, as seed 003 does.
///
/// # Errors
/// 400 with every fault of the body; 403 without an admin key.
#[utoipa::path(
    post, path = "/v1/admin/products/create", tag = "admin", operation_id = "adminCreateProducts", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = SeedCreate, example = json!(examples::seed_create())),
    responses((status = 200, description = "What became of each item.", body = SeedAnswer, example = json!(examples::seed_answer("successfulCreations", "failedCreations"))), SeedProblems)
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    perform(&state, &caller, &context, request, &CREATE).await
}

/// Sets name, price or available units of products, each for itself, as seed 003 does.
///
/// # Errors
/// 400 with every fault of the body; 403 without an admin key.
#[utoipa::path(
    put, path = "/v1/admin/products/set", tag = "admin", operation_id = "adminSetProducts", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = SeedSet, example = json!(examples::seed_set())),
    responses((status = 200, description = "What became of each item.", body = SeedAnswer, example = json!(examples::seed_answer("successfulUpdates", "failedUpdates"))), SeedProblems)
)]
pub async fn set(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    perform(&state, &caller, &context, request, &SET).await
}

/// Deletes products, each for itself, as seed 003 does.
///
/// # Errors
/// 400 with every fault of the body; 403 without an admin key.
#[utoipa::path(
    delete, path = "/v1/admin/products/delete", tag = "admin", operation_id = "adminDeleteProducts", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = SeedDelete, example = json!(examples::seed_delete())),
    responses((status = 200, description = "What became of each item.", body = SeedAnswer, example = json!(examples::seed_answer("successfulDeletions", "failedDeletions"))), SeedProblems)
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    perform(&state, &caller, &context, request, &DELETE).await
}

async fn perform(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    request: Request,
    call: &Call,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let header = header_key(request.headers());
    let body = read_body(request).await?;
    let members = object(&body).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    let key = key(header, &mut fields);
    let command = (call.command)(&mut fields)?;
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let ids = ids(&command);
    let origin = origin(caller, context, caller.store(), key);
    let (decided, replayed) = decide(state, origin, command).await?;
    let body = answer(&ids, &decided, call.succeeded, call.failed);
    Ok(mark(Json(body).into_response(), replayed))
}

/// Reads each item of `products`; what is wrong with one does not keep the others from being looked
/// at.
fn each<T>(
    fields: &mut Fields<'_, '_>,
    read: fn(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<Vec<T>, Problem> {
    let items = fields.objects("products", limits::BATCH_LINES);
    if items.is_empty() && !fields.faulty("products") {
        return Err(nothing("No products specified"));
    }
    let items = items.into_iter().filter_map(|(index, members)| {
        let name = format!("products[{index}]");
        read(&mut fields.within(name, members))
    });
    Ok(items.collect())
}

/// The items of the delete call.
fn deletions(fields: &mut Fields<'_, '_>) -> Result<Vec<Deletion>, Problem> {
    let ids = fields.array("productIds", limits::BATCH_LINES);
    if ids.is_empty() && !fields.faulty("productIds") {
        return Err(nothing("No product IDs specified"));
    }
    let mut items = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let parsed = match id.as_str() {
            None => Err("must be a string".to_owned()),
            Some("") => Err("Product ID is required".to_owned()),
            Some(text) => ProductId::parse(text).map_err(|error| error.to_string()),
        };
        match parsed {
            Ok(product) => items.push(Deletion {
                product,
                expected_version: None,
                force: false,
            }),
            Err(issue) => fields.fault(&format!("productIds[{index}]"), issue),
        }
    }
    Ok(items)
}

/// The problem of a call about nothing, in the words of seed 003.
fn nothing(sentence: &str) -> Problem {
    Problem::new(ProblemCode::InvalidRequest, sentence)
}

fn invalid(details: Vec<Detail>) -> Problem {
    let problem = Problem::new(ProblemCode::ValidationError, "Request validation failed");
    Problem { details, ..problem }
}

fn ids(command: &Command) -> Vec<ProductId> {
    match command {
        Command::Create { items, .. } => items.iter().map(|item| item.product.clone()).collect(),
        Command::Edit { items, .. } => items.iter().map(|item| item.product.clone()).collect(),
        Command::Delete { items, .. } => items.iter().map(|item| item.product.clone()).collect(),
        _ => Vec::new(),
    }
}

/// A product of the create call, in the words of seed 003.
fn new_product(fields: &mut Fields<'_, '_>) -> Option<NewProduct> {
    let product = seed_id(fields);
    let name = fields.text("name", limits::NAME_BYTES);
    if name.is_none_or(str::is_empty) && !fields.faulty("name") {
        fields.fault("name", "Product name is required");
    }
    let (on_hand, price) = figures(fields);
    let changes = Changes {
        name: name.map(Box::from),
        price,
        ..fields.changes_but_name_and_price()
    };
    Some(NewProduct {
        product: product?,
        details: changes.onto(&Details::default()),
        on_hand: on_hand.unwrap_or(0),
    })
}

/// An item of the set call.
fn edit(fields: &mut Fields<'_, '_>) -> Option<Edit> {
    let product = seed_id(fields);
    let name = fields.text("name", limits::NAME_BYTES);
    if name.is_some_and(str::is_empty) {
        fields.fault("name", "Product name is required");
    }
    let (available, price) = figures(fields);
    let given = ["name", "available", "price"];
    if !given
        .iter()
        .any(|name| fields.has(name) && !fields.is_null(name))
    {
        let issue = "At least one field (name, available, price) must be specified";
        fields.fault("fields", issue);
    }
    let changes = Changes {
        name: name.map(Box::from),
        price,
        available,
        ..Changes::default()
    };
    Some(Edit {
        product: product?,
        changes,
        expected_version: None,
    })
}

fn seed_id(fields: &mut Fields<'_, '_>) -> Option<ProductId> {
    match fields.text("productId", usize::MAX) {
        None if fields.faulty("productId") => None,
        None | Some("") => {
            fields.fault("productId", "Product ID is required");
            None
        }
        Some(text) => ProductId::parse(text)
            .map_err(|error| fields.fault("productId", error.to_string()))
            .ok(),
    }
}

/// `available` and `price`, refused in the words of seed 003 when negative.
fn figures(fields: &mut Fields<'_, '_>) -> (Option<i64>, Option<Money>) {
    let available = fields.integer("available", i64::MIN, limits::STOCK_UNITS);
    if available.is_some_and(i64::is_negative) {
        fields.fault("available", "Available quantity cannot be negative");
    }
    let price = fields.amount("price").and_then(|amount| {
        let parsed = Money::from_number(amount);
        let refused = |error| match error {
            InvalidMoney::Negative => "Price cannot be negative".to_owned(),
            other @ (InvalidMoney::Inexact | InvalidMoney::TooLarge) => other.to_string(),
        };
        parsed
            .map_err(|error| fields.fault("price", refused(error)))
            .ok()
    });
    (available, price)
}

/// The answer: a row for each item, and a summary.
fn answer(ids: &[ProductId], decided: &Decided, succeeded: &str, failed: &str) -> Value {
    let mut rows = Vec::with_capacity(ids.len());
    let mut good = 0_usize;
    for (id, result) in ids.iter().zip(&decided.decision.results) {
        rows.push(match result {
            ItemResult::Applied(index) => {
                good += 1;
                let event = decided.decision.events.get(*index);
                json!({
                    "productId": id,
                    "success": true,
                    "newVersion": event.map(|event| event.product.version),
                    "lastUpdated": event.map(|event| event.product.last_updated),
                })
            }
            ItemResult::Unchanged => {
                good += 1;
                json!({"productId": id, "success": true})
            }
            ItemResult::Refused(rejection) => {
                let (error_type, message) = words(rejection);
                json!({
                    "productId": id,
                    "success": false,
                    "errorType": error_type,
                    "errorMessage": message,
                })
            }
        });
    }
    let mut summary = Map::new();
    summary.insert("totalRequests".to_owned(), rows.len().into());
    summary.insert(succeeded.to_owned(), good.into());
    summary.insert(failed.to_owned(), (rows.len() - good).into());
    json!({"results": rows, "summary": summary})
}

/// Seed 003's words for a refused item.
fn words(rejection: &Rejection) -> (&'static str, String) {
    match rejection {
        Rejection::ProductExists { .. } => {
            ("validation_error", "Product already exists".to_owned())
        }
        Rejection::ProductNotFound { .. } => ("not_found", "Product not found".to_owned()),
        _ => (refusal::code(rejection).as_str(), rejection.to_string()),
    }
}
