//! What a store says over HTTP: parse, one call, shape the answer.
//!
//! All routes stand in one table, [`router`], which is also the description at `/openapi.json`.
//! Reads come from the copy and never wait for central; writes go to central and then wait, for a
//! moment, until the copy shows them. As a relay the store speaks central's own protocol.

pub mod breakers;
pub mod events;
pub mod health;
pub mod inventory;
pub mod relay;
pub mod relay_snapshot;
mod state;
pub mod sync;
pub mod update_body;
pub mod updates;
pub mod visible;

use axum::Router;
use shared::service::problem_response::{method_not_allowed, not_found};
use shared::service::request_context::RequestContextLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use state::{AppState, SharedState};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast store API",
        description = "A shop's own inventory service: reads from its copy, writes through central."
    ),
    components(schemas(inventory::ProductBody, sync::ProblemBody)),
    modifiers(&Keys)
)]
struct Document;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("apiKey", scheme);
    }
}

/// Every route of the service, and the layer around them.
pub fn router(state: AppState) -> Router {
    let (routes, document) = routes().split_for_parts();
    routes
        .with_state(state)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(<RequestContextLayer>::default())
}

fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(inventory::list))
        .routes(routes!(inventory::get))
        .routes(routes!(inventory::categories))
        .routes(routes!(updates::post_updates))
        .routes(routes!(updates::post_batch_updates))
        .routes(routes!(updates::pass_on_updates))
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
        .routes(routes!(health::ready))
        .routes(routes!(health::ready_alias))
        .routes(routes!(health::live))
        .routes(routes!(health::info))
}

/// The description of every route.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}
