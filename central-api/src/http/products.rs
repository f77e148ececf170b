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
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use shared::domain::inventory::{Atomicity, Command, Deletion, ItemResult, Product, Rejection};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::{ListParams, PageBody, ProductBody};
use shared::service::precondition::{Condition, etag, if_match};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::product::Encoder;

use super::decision::{decide, mark, origin};
use super::fields::checked;
use super::inventory::{self, ListProblems, ProductProblems, not_found, path_id};
use super::location;
use super::product_body::{parse_change, parse_new};
use super::refusal;
use super::schema_products::{ProductChange, ProductRequest};
use super::{AppState, examples};
use crate::ledger::Decided;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
shared::problem_set! {
    /// What creating a product can be refused for.
    CreateProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductExists
        | Overloaded | ShuttingDown | StorageFull | Timeout;
    /// What changing a product can be refused for.
    EditProblems = InvalidRequest | IdempotencyKeyReused | ProductNotFound | VersionConflict
        | PreconditionFailed | StockOutOfRange | Overloaded | ShuttingDown | StorageFull | Timeout;
    /// What deleting a product can be refused for.
    DeleteProblems = InvalidRequest | IdempotencyKeyReused | ProductNotFound | UnitsPromised
        | PreconditionFailed | PreconditionRequired | Overloaded | ShuttingDown | StorageFull | Timeout;
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
    responses((status = 201, description = "It is created.", body = ProductBody, headers(("ETag" = String), ("Location" = String)), example = json!(examples::product())), CreateProblems)
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let header = header_key(&headers);
    let (item, key) = parse_new(&read_body(request).await?, header)?;
    let command = Command::Create {
        items: vec![item],
        atomicity: Atomicity::PerItem,
    };
    let origin = origin(&caller, &context, caller.store(), key);
    let (decided, replayed) = decide(&state, origin, command).await?;
    let answer = match outcome(&decided)? {
        Done::Refused(rejection) => refusal::problem(rejection).into_response(),
        Done::Unchanged => return Err(undecided()),
        Done::Product(product) => {
            let mut answer = shown(product);
            *answer.status_mut() = StatusCode::CREATED;
            let location = location("/v1/products", product.id.as_str());
            answer.headers_mut().insert(LOCATION, location);
            answer
        }
    };
    Ok(mark(answer, replayed))
}

/// Changes the fields that the body names.
///
/// # Errors
/// 400 with every fault of the body, 404, 409 or 412 with the present version and units.
#[utoipa::path(
    put, path = "/v1/products/{productId}", tag = "products", operation_id = "editProduct", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false, description = "The version in quotes, or *")),
    request_body(content = ProductChange, example = json!(examples::changed_product())),
    responses((status = 200, description = "It is as it shall be.", body = ProductBody, headers(("ETag" = String)), example = json!(examples::product())), EditProblems)
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
    let header = header_key(&headers);
    let if_match = if_match(&headers);
    let body = read_body(request).await?;
    let (item, key) = parse_change(product.clone(), &body, header, &if_match)?;
    let command = Command::Edit {
        items: vec![item],
        atomicity: Atomicity::PerItem,
    };
    let origin = origin(&caller, &context, caller.store(), key);
    let (decided, replayed) = decide(&state, origin, command).await?;
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
    let key = header_key(&headers);
    let mut params = QueryParams::parse(&uri);
    let force = params.boolean("force").unwrap_or(false);
    params.unknown_rejected(&["force"]);
    let mut faults = params.into_faults();
    let key = key.unwrap_or_else(|detail| {
        faults.push(detail);
        None
    });
    let condition = if_match(&headers).unwrap_or_else(|detail| {
        faults.push(detail);
        None
    });
    let expected_version = match checked(condition, faults)? {
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
    let origin = origin(&caller, &context, caller.store(), key);
    let (decided, replayed) = decide(&state, origin, command).await?;
    let answer = match outcome(&decided)? {
        Done::Refused(rejection) => refused(&state, rejection, true).into_response(),
        Done::Product(_) | Done::Unchanged => StatusCode::NO_CONTENT.into_response(),
    };
    Ok(mark(answer, replayed))
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
    ([(CONTENT_TYPE, JSON), (ETAG, etag(product.version))], body).into_response()
}
