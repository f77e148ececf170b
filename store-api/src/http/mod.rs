//! What a store says over HTTP: parse, one call, shape the answer.
//!
//! All routes stand in one table, [`router`], which is also the description at `/openapi.json`.
//! Reads come from the copy and never wait for central; writes go to central and then wait, for a
//! moment, until the copy shows them. As a relay the store speaks central's own protocol.

pub mod breakers;
pub mod events;
pub mod examples;
pub mod health;
pub mod inventory;
pub mod log_level;
mod order_calls;
pub mod order_reads;
pub mod orders;
pub mod rate_limits;
pub mod relay;
pub mod relay_snapshot;
pub mod seed_error;
mod state;
pub mod sync;
pub mod update_body;
pub mod updates;
pub mod visible;
mod write_headers;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::from_fn;
use serde_json::Value;
use shared::service::compression::compress;
use shared::service::openapi::{self, ProblemBody};
use shared::service::problem_response::{method_not_allowed, not_found};
use shared::service::rate_limit::RateLimitLayer;
use shared::service::request_context::RequestContextLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use state::{AppState, SharedState};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast store API",
        description = "A shop's own inventory service: reads from its copy, writes through central."
    ),
    components(schemas(ProblemBody))
)]
struct Document;

/// Every route of the service, and the layers around them: from outside ids and log, other origins'
/// pages, rate limits.
pub fn router(state: AppState) -> Router {
    let docs = SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", document().clone());
    let origins = state.config.origins.clone();
    let requests = state.requests.clone();
    let limits = Arc::clone(&state.limits);
    let limited = limits.is_enabled().then(|| state.clone());
    let mut router = Router::from(routes())
        .with_state(state)
        .merge(Router::from(docs).layer(from_fn(compress)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    if let Some(state) = limited {
        router = router.layer(RateLimitLayer::new(limits, state));
    }
    origins
        .allow(router)
        .layer(RequestContextLayer::new(requests))
}

/// The table. What may be long is packed on the way out; the feed, snapshots and batches of movements
/// see to that themselves, and the answer to one movement of a till is too short.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(inventory::list).layer(from_fn(compress)))
        .routes(routes!(inventory::get).layer(from_fn(compress)))
        .routes(routes!(inventory::categories).layer(from_fn(compress)))
        .routes(routes!(updates::post_updates))
        .routes(routes!(updates::post_batch_updates))
        .routes(routes!(updates::pass_on_updates))
        .routes(routes!(orders::place))
        .routes(routes!(order_reads::list).layer(from_fn(compress)))
        .routes(routes!(order_reads::stats))
        .routes(routes!(order_reads::get))
        .routes(routes!(order_reads::events).layer(from_fn(compress)))
        .routes(routes!(orders::confirm))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::complete))
        .routes(routes!(orders::edit))
        .routes(routes!(orders::set_status))
        .routes(routes!(sync::status))
        .routes(routes!(sync::force))
        .routes(routes!(sync::cache_stats))
        .routes(routes!(events::stream))
        .routes(routes!(relay::get_events))
        .routes(routes!(relay_snapshot::newest))
        .routes(routes!(relay_snapshot::one))
        .routes(routes!(relay::pass_on_heartbeat))
        .routes(routes!(breakers::list))
        .routes(routes!(breakers::reset))
        .routes(routes!(log_level::get, log_level::put))
        .routes(routes!(rate_limits::status).layer(from_fn(compress)))
        .routes(routes!(rate_limits::reset))
        .routes(routes!(health::ready))
        .routes(routes!(health::ready_alias))
        .routes(routes!(health::live))
        .routes(routes!(health::info))
}

/// The description of every route, as `/openapi.json` has it.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::finished(routes().into_openapi()));
    &DOCUMENT
}
