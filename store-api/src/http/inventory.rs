//! Reads from the copy: one product, a page of them, the categories.
//!
//! Central is never asked. Every answer says where the copy stands and how old that is.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use shared::domain::ids::ProductId;
use shared::service::auth::{Caller, Scope};
use shared::service::openapi::{
    CategoriesBody, CategoryBody, ListParams, PageBody, ProductBody, examples,
};
use shared::service::precondition::is_known;
use shared::service::query::QueryParams;
use shared::view::ListRequest;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::product::Encoder;

use super::AppState;
use super::seed_error::Refusal;
use super::visible::{asked_offset, min_offset};
use crate::replica::live::Shown;

shared::problem_set! {
    /// What a question about several products can be refused for.
    ListProblems = InvalidRequest | NotSyncedYet;
    /// What a question about one product can be refused for.
    ProductProblems = InvalidRequest | ProductNotFound | NotSyncedYet;
    /// Why the categories cannot be counted.
    CategoryProblems = NotSyncedYet;
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A page of the catalogue.
///
/// # Errors
/// 400 with every fault of the query; 503 before the very first sync.
#[utoipa::path(
    get, path = "/v1/store/inventory", tag = "inventory", operation_id = "listInventory", security(("apiKey" = [])),
    params(
        ("q" = Option<String>, Query, nullable = false, description = "Part of id, name, SKU, barcode or category"),
        ListParams,
        ("X-Min-Offset" = Option<i64>, Header, nullable = false, minimum = 0, description = "Wait up to a second for this offset"),
    ),
    responses(
        (status = 200, description = "A page of the copy.", body = PageBody, headers(("X-Sync-Offset" = i64), ("X-Sync-Lag" = i64), ("Age" = i64), ("Cache-Status" = String), ("X-Central" = String)), example = json!(examples::page())),
        ListProblems,
    )
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    caller.require(Scope::Read)?;
    let (request, offset) = list_request(&uri, &headers)?;
    min_offset(&state, offset).await;
    let shown = state.shown()?;
    let searches = request.query.filter.text.is_some();
    let make = move || {
        let page = shown.catalogue.list(&request);
        let mut body = Vec::new();
        // The generation is read after the page's head; see `Shown`.
        let generation = shown.generation();
        page.encode(&mut Encoder::new(), Some(generation.0), &mut body);
        (body, page.head.offset)
    };
    // A page costs microseconds; a search may cost milliseconds, which the threads that answer
    // tills are not for.
    let (body, offset) = if searches {
        let work = tokio::task::spawn_blocking(make).await;
        work.map_err(|_| Problem::new(ProblemCode::Internal, "the list could not be made"))?
    } else {
        make()
    };
    let mut response = ([(CONTENT_TYPE, JSON)], body).into_response();
    state.write_freshness(offset, response.headers_mut());
    Ok(response)
}

/// What is asked for, and the offset that the answer waits for.
fn list_request(uri: &Uri, headers: &HeaderMap) -> Result<(ListRequest, Option<u64>), Problem> {
    let params = QueryParams::parse(uri);
    let request = ListRequest::from_pairs(params.pairs());
    let mut faults = params.into_faults();
    match (request, asked_offset(headers)) {
        (Ok(request), Ok(offset)) if faults.is_empty() => Ok((request, offset)),
        (request, offset) => {
            faults.extend(request.err().unwrap_or_default());
            faults.extend(offset.err());
            Err(Problem::with_details(ProblemCode::InvalidRequest, faults))
        }
    }
}

/// One product.
///
/// # Errors
/// 404 if it is not in the copy; 503 before the very first sync.
#[utoipa::path(
    get, path = "/v1/store/inventory/{productId}", tag = "inventory", operation_id = "getProduct", security(("apiKey" = [])),
    params(
        ("productId" = String, Path, example = "GRO-0101"),
        ("If-None-Match" = Option<String>, Header, nullable = false),
        ("X-Min-Offset" = Option<i64>, Header, nullable = false, minimum = 0, description = "Wait up to a second for this offset"),
    ),
    responses(
        (status = 200, description = "It, as the copy has it; the tag can be sent back as `If-Match` of a movement.", body = ProductBody, headers(("ETag" = String), ("X-Sync-Offset" = i64), ("X-Sync-Lag" = i64), ("Age" = i64), ("Cache-Status" = String), ("X-Central" = String)), example = json!(examples::product())),
        (status = 304, description = "It is still this version."),
        ProductProblems,
    )
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    caller.require(Scope::Read)?;
    let (id, offset) = match (path_id(&id), asked_offset(&headers)) {
        (Ok(id), Ok(offset)) => (id, offset),
        (id, offset) => {
            let faults = id.err().into_iter().chain(offset.err()).collect();
            return Err(Problem::with_details(ProblemCode::InvalidRequest, faults).into());
        }
    };
    min_offset(&state, offset).await;
    let shown = state.shown()?;
    let mut response = one(&shown, &id, &headers);
    state.write_freshness(shown.catalogue.head().offset, response.headers_mut());
    Ok(response)
}

fn one(shown: &Shown, id: &ProductId, headers: &HeaderMap) -> Response {
    let Some(product) = shown.catalogue.get(id.as_str()) else {
        let sentence = format!("Product not found: {id}");
        let problem = Problem::new(ProblemCode::ProductNotFound, sentence);
        let problem = problem.with("productId", id.as_str());
        let (code, details) = (problem.code.as_str(), json!({"productId": id.as_str()}));
        return Refusal::worded(problem, code, "Product not found", &details).into_response();
    };
    // Weak: the same version may be written with other fields by another version of this service.
    let etag = HeaderValue::try_from(format!("W/\"{}\"", product.version))
        .expect("a number is a valid header");
    if is_known(headers, &etag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    let mut body = Vec::with_capacity(384);
    Encoder::new().product(&mut body, &product.product);
    ([(CONTENT_TYPE, JSON), (ETAG, etag)], body).into_response()
}

/// Parses a product id of a path.
fn path_id(text: &str) -> Result<ProductId, Detail> {
    ProductId::parse(text).map_err(|error| Detail::new("path.productId", error.to_string()))
}

/// The categories, in order.
///
/// # Errors
/// 503 before the very first sync.
#[utoipa::path(
    get, path = "/v1/store/categories", tag = "inventory", operation_id = "listCategories", security(("apiKey" = [])),
    responses((status = 200, body = CategoriesBody, example = json!(examples::categories())), CategoryProblems)
)]
pub async fn categories(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Response, Refusal> {
    caller.require(Scope::Read)?;
    let shown = state.shown()?;
    let offset = shown.catalogue.head().offset;
    let counted = tokio::task::spawn_blocking(move || {
        let categories = shown.catalogue.categories();
        (categories, shown.generation())
    });
    let (counted, generation) = counted
        .await
        .map_err(|_| Problem::new(ProblemCode::Internal, "the categories could not be counted"))?;
    let categories = counted
        .into_iter()
        .map(|(name, products)| CategoryBody::new(&name, products));
    let mut response = Json(CategoriesBody::new(
        categories.collect(),
        generation.to_string(),
        offset,
    ))
    .into_response();
    state.write_freshness(offset, response.headers_mut());
    Ok(response)
}
