//! What central says over HTTP: parse, one call, shape the answer.
//!
//! All routes stand in one table, [`router`], which is also the description at `/openapi.json`. A
//! handler that matches on a domain error, reads the clock to decide something, or takes a lock is a
//! sign that something belongs one layer down.

pub mod admin_products;
pub mod api_key_body;
pub mod api_keys;
pub mod breakers;
pub mod counts;
mod decision;
pub mod examples;
pub mod export;
pub mod faults;
pub mod faults_body;
pub mod feed;
pub mod fields;
pub mod health;
pub mod history;
pub mod import;
pub mod import_report;
mod importer;
pub mod inject;
pub mod inventory;
pub mod live;
pub mod log_level;
mod order_body;
mod order_cursor;
pub mod order_history;
pub mod order_placing;
pub mod order_reads;
pub mod orders;
mod paging;
mod product_body;
pub mod product_holds;
pub mod products;
pub mod rate_limits;
pub mod refunds;
pub mod refusal;
mod reservation_body;
mod reservation_list;
pub mod reservation_reads;
pub mod reservations;
pub mod schema;
pub mod schema_history;
pub mod schema_products;
pub mod schema_reservations;
pub mod shortfalls;
pub mod snapshots;
mod state;
pub mod store_list;
pub mod stores;
pub mod update_body;
pub mod updates;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use http::HeaderValue;
use serde_json::Value;
use shared::service::compression::compress;
use shared::service::openapi::{self, ProblemBody};
use shared::service::problem_response::{method_not_allowed, not_found};
use shared::service::rate_limit::RateLimitLayer;
use shared::service::request_context::RequestContextLayer;
use tower_http::decompression::RequestDecompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use state::{AppState, Handles, SharedState};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast central API",
        description = "The source of truth for the stock of a chain of shops. Problems are \
            application/problem+json; decide by their `code`, never by their text. Answers say in \
            `RateLimit-Policy` and `RateLimit` how often one may ask; whoever asks too often is answered \
            429 with `Retry-After`."
    ),
    components(schemas(ProblemBody, live::LiveSync))
)]
struct Document;

/// Every route of the service, and the layers around them: from outside ids and log, other origins'
/// pages, rate limits, faults on purpose.
pub fn router(state: AppState) -> Router {
    let docs = SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", document().clone());
    let origins = state.shared.origins.clone();
    let requests = state.shared.requests.clone();
    let limits = Arc::clone(&state.shared.limits);
    let limited = limits.is_enabled().then(|| state.clone());
    let faulty = state.shared.faults.is_some().then(|| state.clone());
    let mut router = Router::from(routes())
        .with_state(state)
        .merge(Router::from(docs).layer(from_fn(compress)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    if let Some(state) = faulty {
        router = router.layer(from_fn_with_state(state, inject::inject));
    }
    if let Some(state) = limited {
        router = router.layer(RateLimitLayer::new(limits, state));
    }
    origins
        .allow(router)
        .layer(RequestContextLayer::new(requests))
}

/// The table. What may be long is packed on the way out; movements, the feed, exports and snapshots see
/// to that themselves, and the answer to a till is too short. So is a problem, which is written by the
/// layer around all of them. A product with its tag is never packed, however long its description: the
/// tag is its version, which is sent back as `If-Match`, and a strong tag names one row of bytes.
/// Stores, whose tags are weak, do pack it.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::ready))
        .routes(routes!(health::live))
        .routes(routes!(health::ready_alias))
        .routes(routes!(health::info))
        .routes(routes!(inventory::list).layer(from_fn(compress)))
        .routes(routes!(inventory::check).layer(from_fn(compress)))
        .routes(routes!(inventory::get))
        .routes(routes!(inventory::availability))
        .routes(routes!(inventory::categories).layer(from_fn(compress)))
        .routes(routes!(updates::post_updates))
        .routes(routes!(product_holds::reserve))
        .routes(routes!(product_holds::release))
        .routes(routes!(reservation_reads::list, reservations::create).layer(from_fn(compress)))
        .routes(routes!(reservation_reads::get))
        .routes(routes!(reservations::commit))
        .routes(routes!(reservations::release))
        .routes(routes!(reservations::extend))
        .routes(routes!(counts::post_counts).layer(from_fn(compress)))
        .routes(routes!(shortfalls::list).layer(from_fn(compress)))
        .routes(routes!(history::get).layer(from_fn(compress)))
        .routes(routes!(feed::get_events))
        .routes(routes!(snapshots::newest))
        .routes(routes!(snapshots::one))
        .routes(routes!(products::list, products::create).layer(from_fn(compress)))
        .routes(routes!(products::search).layer(from_fn(compress)))
        .routes(routes!(products::get, products::edit, products::delete))
        .routes(routes!(order_reads::list, order_placing::place).layer(from_fn(compress)))
        .routes(routes!(order_reads::get, orders::edit))
        .routes(routes!(orders::set_status))
        .routes(routes!(orders::confirm))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::complete))
        .routes(routes!(refunds::refund))
        .routes(routes!(refunds::settle))
        .routes(routes!(order_reads::stats))
        .routes(routes!(order_history::get).layer(from_fn(compress)))
        .routes(routes!(feed::get_order_events))
        .routes(routes!(order_reads::payment))
        .routes(routes!(store_list::list).layer(from_fn(compress)))
        .routes(routes!(stores::heartbeat))
        .routes(routes!(breakers::list))
        .routes(routes!(breakers::reset))
        .routes(routes!(faults::get, faults::put))
        .routes(routes!(log_level::get, log_level::put))
        .routes(routes!(rate_limits::status).layer(from_fn(compress)))
        .routes(routes!(rate_limits::reset))
        .routes(routes!(api_keys::list, api_keys::create).layer(from_fn(compress)))
        .routes(routes!(api_keys::get, api_keys::revoke))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(admin_products::create).layer(from_fn(compress)))
        .routes(routes!(admin_products::set).layer(from_fn(compress)))
        .routes(routes!(admin_products::delete).layer(from_fn(compress)))
        .routes(
            routes!(import::post_import)
                .layer(RequestDecompressionLayer::new())
                .layer(from_fn(compress)),
        )
        .routes(routes!(export::get_export))
        .routes(routes!(live::stream))
}

/// The description of every route, as `/openapi.json` has it.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::finished(routes().into_openapi()));
    &DOCUMENT
}

/// Where something with `id` is found under `collection`; what means something in a URL is escaped.
fn location(collection: &str, id: &str) -> HeaderValue {
    use std::fmt::Write as _;
    let mut path = format!("{collection}/");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    HeaderValue::try_from(path).expect("escaped text is a valid header")
}
