//! Reads of the catalogue: one product, a page of them, what is available.
//!
//! Every answer comes from the published view: a read that begins after a write was answered sees
//! it, and waits for nobody.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Serialize;
use shared::domain::ids::ProductId;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::openapi::{CategoriesBody, CategoryBody, ListParams, PageBody, ProductBody};
use shared::service::precondition::{etag, is_known};
use shared::service::query::QueryParams;
use shared::view::ListRequest;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::product::Encoder;
use shared::wire::unique::object;

use utoipa::ToSchema;

use super::fields::{Fields, beside, checked};
use super::{AppState, examples};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

shared::problem_set! {
    /// What a query can be refused for.
    pub(super) ListProblems = InvalidRequest;
    /// What a question about one product can be refused for.
    pub(super) ProductProblems = InvalidRequest | ProductNotFound;
}

/// A page of the catalogue.
///
/// # Errors
/// 400 with every fault of the query.
#[utoipa::path(
    get, path = "/v1/inventory", tag = "inventory", operation_id = "listInventory", security(("apiKey" = [])),
    params(("q" = Option<String>, Query, nullable = false, max_length = 256, description = "Part of the id, name, SKU, barcode or category"), ListParams),
    responses((status = 200, body = PageBody, example = json!(examples::page())), ListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let params = QueryParams::parse(&uri);
    let request = ListRequest::from_pairs(params.pairs());
    let mut faults = params.into_faults();
    let request = match request {
        Ok(request) if faults.is_empty() => request,
        other => {
            faults.extend(other.err().unwrap_or_default());
            return Err(Problem::with_details(ProblemCode::InvalidRequest, faults));
        }
    };
    let ledger = state.ledger.clone();
    let log_gen = ledger.published().log_gen();
    // A search may take milliseconds; the threads that serve tills are not for that.
    let work = tokio::task::spawn_blocking(move || {
        let page = ledger.view().list(&request);
        let mut body = Vec::new();
        page.encode(&mut Encoder::new(), Some(log_gen.0), &mut body);
        body
    });
    let body = work
        .await
        .map_err(|_| Problem::new(ProblemCode::Internal, "the list could not be made"))?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

/// Parses a product id of a path.
///
/// # Errors
/// 400 if it is not an id.
pub fn path_id(text: &str) -> Result<ProductId, Problem> {
    ProductId::parse(text).map_err(|error| {
        let detail = Detail::new("path.productId", error.to_string());
        Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
    })
}

/// The problem of a product that is not there.
#[must_use]
pub fn not_found(id: &ProductId) -> Problem {
    Problem::new(
        ProblemCode::ProductNotFound,
        format!("Product not found: {id}"),
    )
    .with("productId", id.as_str())
}

/// One product.
///
/// # Errors
/// 404 if it is not in the catalogue.
#[utoipa::path(
    get, path = "/v1/inventory/{productId}", tag = "inventory", operation_id = "getInventory", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("If-None-Match" = Option<String>, Header, nullable = false)),
    responses(
        (status = 200, body = ProductBody, headers(("ETag" = String)), example = json!(examples::product())),
        (status = 304, description = "It is still this version."), ProductProblems,
    )
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let id = path_id(&id)?;
    let product = state
        .ledger
        .view()
        .get(id.as_str())
        .ok_or_else(|| not_found(&id))?;
    let etag = etag(product.version);
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let mut body = Vec::with_capacity(384);
    Encoder::new().product(&mut body, &product.product);
    Ok(([(CONTENT_TYPE, JSON), (ETAG, etag)], body).into_response())
}

/// The answer of [`availability`].
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Availability {
    #[schema(value_type = String)]
    product_id: ProductId,
    available: i64,
    requested: i64,
    is_available: bool,
    as_of_offset: u64,
}

/// Whether so many units of a product are available; advisory.
///
/// # Errors
/// 404 if it is not in the catalogue, 400 for a bad quantity.
#[utoipa::path(
    get, path = "/v1/inventory/{productId}/availability", tag = "inventory", operation_id = "availability", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("quantity" = Option<i64>, Query, nullable = false, minimum = 1, maximum = 1_000_000_000, example = 3)),
    responses((status = 200, body = Availability, example = json!(examples::availability())), ProductProblems)
)]
pub async fn availability(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Availability>, Problem> {
    caller.require(Scope::Read)?;
    let mut params = QueryParams::parse(&uri);
    let requested = params.integer("quantity", 1..=limits::DELTA_UNITS);
    let faults = params.into_faults();
    let product_id = match path_id(&id) {
        Ok(id) => checked(id, faults)?,
        Err(problem) => return Err(beside(problem, faults.iter().map(Some))),
    };
    let requested = requested.unwrap_or(1);
    let as_of_offset = state.ledger.view().head().offset;
    let product = state
        .ledger
        .view()
        .get(product_id.as_str())
        .ok_or_else(|| not_found(&product_id))?;
    let available = product.available();
    let is_available = available >= requested;
    Ok(Json(Availability {
        product_id,
        available,
        requested,
        is_available,
        as_of_offset,
    }))
}

/// What is asked of several products, described; [`parse_check`] reads it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckBody {
    #[schema(min_items = 1, max_items = 1_000)]
    items: Vec<CheckItem>,
}

/// So many units of one product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckItem {
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
}

/// The answer of [`check`].
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    available: bool,
    items: Vec<CheckedItem>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedItem {
    product_id: String,
    requested: i64,
    available: i64,
    in_stock: bool,
}

/// Whether so many units of several products are available; advisory. Lines of one product are
/// looked at together, as a reservation would.
///
/// # Errors
/// 400 with every fault of the body.
#[utoipa::path(
    post, path = "/v1/inventory/check", tag = "inventory", operation_id = "checkInventory", security(("apiKey" = [])),
    request_body(content = CheckBody, example = json!(examples::check())),
    responses((status = 200, body = Checked, example = json!(examples::checked())), ListProblems)
)]
pub async fn check(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<Json<Checked>, Problem> {
    caller.require(Scope::Read)?;
    let asked = parse_check(&read_body(request).await?)?;
    let mut together = std::collections::HashMap::<&ProductId, i64>::new();
    for (product, quantity) in &asked {
        *together.entry(product).or_default() += quantity;
    }
    let checked = asked.iter().map(|(id, requested)| {
        let product = state.ledger.view().get(id.as_str());
        let available = product.map_or(0, |product| product.available());
        CheckedItem {
            product_id: id.to_string(),
            requested: *requested,
            available,
            in_stock: together.get(id).is_some_and(|units| available >= *units),
        }
    });
    let items: Vec<CheckedItem> = checked.collect();
    Ok(Json(Checked {
        available: items.iter().all(|item| item.in_stock),
        items,
    }))
}

/// The products and units that a body of [`check`] names.
fn parse_check(body: &[u8]) -> Result<Vec<(ProductId, i64)>, Problem> {
    let members = object(body)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["items"]);
    let items = fields.objects("items", limits::BATCH_LINES);
    if items.is_empty() && !fields.faulty("items") {
        let issue = format!("must hold 1 to {} items", limits::BATCH_LINES);
        fields.fault("items", issue);
    }
    let mut asked = Vec::with_capacity(items.len());
    for (index, item) in items {
        let mut fields = Fields::new(item, format!("items[{index}]."), &mut faults);
        fields.only(&["productId", "quantity"]);
        let product = fields.product_id("productId");
        let quantity = fields.integer("quantity", 1, limits::DELTA_UNITS);
        let quantity = fields.required("quantity", quantity);
        asked.extend(product.zip(quantity));
    }
    checked(asked, faults)
}

/// The categories, in order.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/categories", tag = "inventory", operation_id = "categories", security(("apiKey" = [])),
    responses((status = 200, body = CategoriesBody, example = json!(examples::categories())))
)]
pub async fn categories(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<CategoriesBody>, Problem> {
    caller.require(Scope::Read)?;
    let published = state.ledger.published();
    let (log_gen, offset) = (published.log_gen().to_string(), published.head().offset);
    let ledger = state.ledger.clone();
    // Bringing the index up to date may take long; the threads that serve tills are not for that.
    let counted = tokio::task::spawn_blocking(move || ledger.view().categories());
    let counted = counted
        .await
        .map_err(|_| Problem::new(ProblemCode::Internal, "the categories could not be counted"))?;
    let categories = counted
        .into_iter()
        .map(|(name, products)| CategoryBody::new(&name, products));
    let body = CategoriesBody::new(categories.collect(), log_gen, offset);
    Ok(Json(body))
}
