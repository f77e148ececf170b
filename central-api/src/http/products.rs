//! `/v1/products`: the catalogue as a resource, one product at a time.
//!
//! Reading is [`inventory`]'s business and the same under both names. Writing needs an admin key. A
//! product is compared before it is changed: `PUT` wants the version that the caller saw, in the
//! body (a mismatch is 409) or as `If-Match` (a mismatch is 412), or an explicit `"version": null`
//! or `If-Match: *`, which overwrite. `DELETE` wants `If-Match`, or answers 428.
//!
//! Idempotency: creating a product with units in the house moves stock, so it needs a key. Creating
//! an empty one, editing and deleting do not: the first is refused the second time, the others name
//! the version they replace. A key that is given is honoured, and a repeat gets the same answer,
//! which is made from the record of the decision. One exception does no harm: an edit that changed
//! nothing has no event, so it is answered with the product as it stands at the time of the repeat.
//!
//! A product whose id is `search` is read as `/v1/inventory/search`; here that path is the search.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::{
    Atomicity, Command, Deletion, Details, Edit, ItemResult, NewProduct, Product, Rejection,
};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::openapi::{ListParams, PageBody, ProductBody};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::product::Encoder;

use super::admin_products::{decide, origin};
use super::fields::{Fields, key, object};
use super::inventory::{self, ListProblems, ProductProblems, not_found, path_id};
use super::refusal;
use super::schema_products::{ProductChange, ProductRequest};
use super::updates::{header_key, mark};
use super::{AppState, examples};
use crate::ledger::Decided;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The fields that can be set at any time.
const EDITABLE: [&str; 7] = [
    "name",
    "description",
    "category",
    "sku",
    "barcode",
    "price",
    "lowStockThreshold",
];
const KEY_MISSING: &str =
    "is required where units come into the house, here or as the Idempotency-Key header";

shared::problem_set! {
    /// What creating a product can be refused for.
    CreateProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductExists
        | Overloaded | ShuttingDown | Timeout;
    /// What changing a product can be refused for.
    EditProblems = InvalidRequest | IdempotencyKeyReused | ProductNotFound | VersionConflict
        | PreconditionFailed | StockOutOfRange | Overloaded | ShuttingDown | Timeout;
    /// What deleting a product can be refused for.
    DeleteProblems = InvalidRequest | IdempotencyKeyReused | ProductNotFound | UnitsPromised
        | PreconditionFailed | PreconditionRequired | Overloaded | ShuttingDown | Timeout;
}

/// A page of the catalogue, as under `/v1/inventory`.
///
/// # Errors
/// 400 with every fault of the query.
#[utoipa::path(
    get, path = "/v1/products", tag = "products", operation_id = "listProducts", security(("apiKey" = [])),
    params(("q" = Option<String>, Query, nullable = false, max_length = 256, description = "Part of the id, name, SKU, barcode or category"), ListParams),
    responses((status = 200, body = PageBody, example = json!(examples::page())), ListProblems)
)]
pub async fn list(state: State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    inventory::list(state, caller, uri).await
}

/// One product, as under `/v1/inventory`.
///
/// # Errors
/// 404 if it is not in the catalogue.
#[utoipa::path(
    get, path = "/v1/products/{productId}", tag = "products", operation_id = "getProduct", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("If-None-Match" = Option<String>, Header, nullable = false)),
    responses(
        (status = 200, body = ProductBody, headers(("ETag" = String)), example = json!(examples::product())),
        (status = 304, description = "It is still this version."), ProductProblems,
    )
)]
pub async fn get(
    state: State<AppState>,
    caller: Caller,
    id: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    inventory::get(state, caller, id, headers).await
}

/// Products that a text occurs in; the answer is a list's.
///
/// # Errors
/// 400 without a text, or with every fault of the query.
#[utoipa::path(
    get, path = "/v1/products/search", tag = "products", operation_id = "searchProducts", security(("apiKey" = [])),
    params(("q" = String, Query, min_length = 1, max_length = 256, example = "oat"), ListParams),
    responses((status = 200, body = PageBody, example = json!(examples::page())), ListProblems)
)]
pub async fn search(state: State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    if QueryParams::parse(&uri).raw("q").is_none_or(str::is_empty) {
        let detail = Detail::new("query.q", "is required");
        let details = vec![detail];
        return Err(Problem::with_details(ProblemCode::InvalidRequest, details));
    }
    inventory::list(state, caller, uri).await
}

/// Creates a product.
///
/// # Errors
/// 400 with every fault of the body, 409 `product_exists`.
#[utoipa::path(
    post, path = "/v1/products", tag = "products", operation_id = "createProduct", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ProductRequest, example = json!(examples::new_product())),
    responses((status = 201, description = "It is created.", body = ProductBody, example = json!(examples::product())), CreateProblems)
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let header = header_key(&headers)?;
    let members = object(&read_body(request).await?)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    let key = key(header.as_deref(), &mut fields);
    let item = new_product(&mut fields);
    let moves_stock = item.as_ref().is_some_and(|item| item.on_hand != 0);
    if moves_stock && key.is_none() && faults.is_empty() {
        let detail = Detail::new("idempotencyKey", KEY_MISSING);
        let code = ProblemCode::IdempotencyKeyRequired;
        return Err(Problem::with_details(code, vec![detail]));
    }
    let item = parsed(item, faults)?;
    let command = Command::Create {
        items: vec![item],
        atomicity: Atomicity::PerItem,
    };
    let (decided, replayed) = decide(&state, origin(&caller, &context, key), command).await?;
    let answer = match outcome(&decided)? {
        Done::Refused(rejection) => refusal::problem(rejection).into_response(),
        Done::Unchanged => return Err(undecided()),
        Done::Product(product) => {
            let mut answer = shown(product);
            *answer.status_mut() = StatusCode::CREATED;
            answer.headers_mut().insert(LOCATION, location(&product.id));
            answer
        }
    };
    Ok(mark(answer, replayed))
}

fn new_product(fields: &mut Fields<'_, '_>) -> Option<NewProduct> {
    let mut known = vec!["productId", "onHand", "idempotencyKey"];
    known.extend(EDITABLE);
    fields.only(&known);
    let product = fields.product_id("productId");
    let changes = fields.changes();
    if !fields.has("name") {
        fields.fault("name", "is required");
    }
    let on_hand = fields.integer("onHand", 0, limits::STOCK_UNITS);
    Some(NewProduct {
        product: product?,
        details: Details {
            name: changes.name.unwrap_or_default(),
            description: changes.description.flatten(),
            category: changes.category.flatten(),
            sku: changes.sku.flatten(),
            barcode: changes.barcode.flatten(),
            price: changes.price.unwrap_or_default(),
            low_stock_threshold: changes.low_stock_threshold.flatten(),
        },
        on_hand: on_hand.unwrap_or(0),
    })
}

/// Changes the fields that the body names.
///
/// # Errors
/// 400 with every fault of the body, 404, 409 or 412 with the present version and units.
#[utoipa::path(
    put, path = "/v1/products/{productId}", tag = "products", operation_id = "editProduct", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false, description = "The version in quotes, or *")),
    request_body(content = ProductChange, example = json!(examples::changed_product())),
    responses((status = 200, description = "It is as it shall be.", body = ProductBody, example = json!(examples::product())), EditProblems)
)]
pub async fn edit(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let product = path_id(&id)?;
    let header = header_key(&headers)?;
    let if_match = if_match(&headers);
    let members = object(&read_body(request).await?)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    let key = key(header.as_deref(), &mut fields);
    let item = changed(product.clone(), &if_match, &mut fields);
    let item = parsed(Some(item), faults)?;
    let command = Command::Edit {
        items: vec![item],
        atomicity: Atomicity::PerItem,
    };
    let (decided, replayed) = decide(&state, origin(&caller, &context, key), command).await?;
    let conditional = !matches!(if_match, Ok(None));
    let answer = match outcome(&decided)? {
        Done::Refused(rejection) => refused(&state, rejection, conditional).into_response(),
        Done::Product(product) => shown(product),
        Done::Unchanged => {
            let published = state.ledger.view().published(product.as_str());
            shown(&published.ok_or_else(|| not_found(&product))?.product)
        }
    };
    Ok(mark(answer, replayed))
}

fn changed(product: ProductId, if_match: &IfMatch, fields: &mut Fields<'_, '_>) -> Edit {
    let mut known = vec!["productId", "onHand", "version", "idempotencyKey"];
    known.extend(EDITABLE);
    fields.only(&known);
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
    let changes = fields.changes();
    let expected_version = version(if_match, fields);
    Edit {
        product,
        changes,
        expected_version,
    }
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

/// Deletes a product.
///
/// # Errors
/// 428 without `If-Match`, 404, 412 with the present version and units, 409 `units_promised`.
#[utoipa::path(
    delete, path = "/v1/products/{productId}", tag = "products", operation_id = "deleteProduct", security(("apiKey" = [])),
    params(
        ("productId" = String, Path, example = "GRO-0101"), ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = String, Header, description = "The version in quotes, or *", example = "*"),
        ("force" = Option<bool>, Query, nullable = false, description = "Also while units are promised"),
    ),
    responses((status = 204, description = "It is deleted."), DeleteProblems)
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let product = path_id(&id)?;
    let header = header_key(&headers)?;
    let mut params = QueryParams::parse(&uri);
    let force = params.boolean("force").unwrap_or(false);
    params.unknown_rejected(&["force"]);
    let mut faults = params.into_faults();
    let condition = if_match(&headers).unwrap_or_else(|detail| {
        faults.push(detail);
        None
    });
    let condition = parsed(Some(condition), faults)?;
    let expected_version = match condition {
        Some(Condition::Any) => None,
        Some(Condition::Version(version)) => Some(version),
        None => {
            let sentence = "say which version to delete: If-Match: \"<version>\", or *";
            return Err(Problem::new(ProblemCode::PreconditionRequired, sentence));
        }
    };
    let item = Deletion {
        product,
        expected_version,
        force,
    };
    let command = Command::Delete {
        items: vec![item],
        atomicity: Atomicity::PerItem,
    };
    // The header was checked above.
    let key = header.and_then(|text| IdempotencyKey::parse(&text).ok());
    let (decided, replayed) = decide(&state, origin(&caller, &context, key), command).await?;
    let answer = match outcome(&decided)? {
        Done::Refused(rejection) => refused(&state, rejection, true).into_response(),
        Done::Product(_) | Done::Unchanged => StatusCode::NO_CONTENT.into_response(),
    };
    Ok(mark(answer, replayed))
}

/// What `If-Match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whatever is there.
    Any,
    /// This version.
    Version(u64),
}

/// What `If-Match` says, if it is there; a fault if it is nothing that can hold here.
pub(super) type IfMatch = Result<Option<Condition>, Detail>;

/// What `If-Match` of `headers` says.
pub(super) fn if_match(headers: &HeaderMap) -> IfMatch {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Some(Condition::Any));
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(version) => Ok(Some(Condition::Version(version))),
        // A list, a weak tag, a bare number: never what our ETag says, so more likely a mistake.
        None => Err(Detail::new(
            "header.If-Match",
            "must be one version in quotes, as ETag gives it, or *",
        )),
    }
}

fn parsed<T>(value: Option<T>, faults: Vec<Detail>) -> Result<T, Problem> {
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(Problem::with_details(ProblemCode::InvalidRequest, faults)),
    }
}

/// What became of the one item.
enum Done<'a> {
    Product(&'a Product),
    Unchanged,
    Refused(&'a Rejection),
}

fn outcome(decided: &Decided) -> Result<Done<'_>, Problem> {
    match decided.decision.results.first() {
        Some(ItemResult::Applied(index)) => {
            let event = decided.decision.events.get(*index);
            Ok(Done::Product(&event.ok_or_else(undecided)?.product))
        }
        Some(ItemResult::Unchanged) => Ok(Done::Unchanged),
        Some(ItemResult::Refused(rejection)) => Ok(Done::Refused(rejection)),
        None => Err(undecided()),
    }
}

fn undecided() -> Problem {
    Problem::new(ProblemCode::Internal, "nothing was decided")
}

/// A refusal; a version that came as `If-Match` was a precondition.
fn refused(state: &AppState, rejection: &Rejection, conditional: bool) -> Problem {
    let mut problem = refusal::problem(rejection);
    let Rejection::VersionConflict {
        product_id,
        version,
        ..
    } = rejection
    else {
        return problem;
    };
    if conditional {
        problem.code = ProblemCode::PreconditionFailed;
    }
    // The refusal knows what is available; the rest is added where nothing has happened since.
    let published = state.ledger.view().get(product_id.as_str());
    match published.filter(|published| published.version == *version) {
        Some(published) => problem
            .with("onHand", published.stock.on_hand)
            .with("reserved", published.stock.reserved)
            .with("allotted", published.stock.allotted),
        None => problem,
    }
}

fn shown(product: &Product) -> Response {
    let mut body = Vec::with_capacity(384);
    Encoder::new().product(&mut body, product);
    let etag = HeaderValue::try_from(format!("\"{}\"", product.version));
    let etag = etag.expect("a number is a valid header");
    ([(CONTENT_TYPE, JSON), (ETAG, etag)], body).into_response()
}

/// Where a product is found; what means something in a URL is escaped.
fn location(id: &ProductId) -> HeaderValue {
    use std::fmt::Write as _;
    let mut path = String::from("/v1/products/");
    for byte in id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    HeaderValue::try_from(path).expect("escaped text is a valid header")
}
