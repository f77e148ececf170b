//! What central says over HTTP: parse, one call, shape the answer.
//!
//! All routes stand in one table, [`router`]. A handler that matches on a domain error, reads the
//! clock to decide something, or takes a lock is a sign that something belongs one layer down.

pub mod admin_products;
pub mod counts;
pub mod encoding;
pub mod feed;
pub mod fields;
pub mod health;
pub mod history;
pub mod import;
pub mod inventory;
pub mod products;
pub mod refusal;
pub mod shortfalls;
pub mod snapshots;
mod state;
pub mod stores;
pub mod update_body;
pub mod updates;

use axum::Router;
use axum::routing::{delete, get, post, put};
use shared::service::problem_response::{method_not_allowed, not_found};
use shared::service::request_context::RequestContextLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub use state::{AppState, Handles, SharedState};

/// Every route of the service, and the layer around them.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/v1/info", get(health::info))
        .route("/v1/inventory", get(inventory::list))
        .route("/v1/inventory/check", post(inventory::check))
        .route("/v1/inventory/events", get(feed::get_events))
        .route("/v1/inventory/counts", post(counts::post_counts))
        .route("/v1/inventory/shortfalls", get(shortfalls::list))
        .route("/v1/inventory/{productId}/history", get(history::get))
        .route("/v1/inventory/snapshot", get(snapshots::newest))
        .route("/v1/inventory/snapshots/{name}", get(snapshots::one))
        .route("/v1/inventory/updates", post(updates::post_updates))
        .route("/v1/inventory/{productId}", get(inventory::get))
        .route(
            "/v1/inventory/{productId}/availability",
            get(inventory::availability),
        )
        .route("/v1/products", get(inventory::list).post(products::create))
        .route("/v1/products/search", get(products::search))
        .route(
            "/v1/products/{productId}",
            get(inventory::get)
                .put(products::edit)
                .delete(products::delete),
        )
        .route("/v1/categories", get(inventory::categories))
        .route("/v1/stores", get(stores::list))
        .route("/v1/stores/{id}/heartbeat", put(stores::heartbeat))
        .route("/v1/admin/products/create", post(admin_products::create))
        .route("/v1/admin/products/set", put(admin_products::set))
        .route("/v1/admin/products/delete", delete(admin_products::delete))
        .route(
            "/v1/admin/products/import",
            post(import::post_import).layer(RequestDecompressionLayer::new()),
        )
        .route("/v1/admin/products/export", get(import::get_export))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
        .layer(<RequestContextLayer>::default())
}
