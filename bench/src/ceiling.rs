//! The ceiling: what this machine gives to an HTTP service that does nothing.
//!
//! A minimal axum server that parses a body like the one of a stock update with `serde_json` and
//! answers JSON of the size of the real answer. It runs under the same client, on the same cores,
//! with the stock `axum::serve`. A figure of the real service is stated as a share of this one, so
//! it means the same on a fast and on a slow machine.

use std::io;

use axum::Json;
use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// What an update says, as in the contract.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    store_id: String,
    product_id: String,
    delta: i64,
    idempotency_key: String,
}

/// What an update is answered with: the same fields, the same size (about 200 bytes).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    product_id: String,
    new_quantity: i64,
    new_version: u64,
    applied: bool,
    last_updated: &'static str,
    delta: i64,
    idempotency_key: String,
    offset: usize,
}

/// What a read is answered with: the fields of a product.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Product {
    product_id: String,
    name: &'static str,
    category: &'static str,
    sku: &'static str,
    barcode: &'static str,
    price: f64,
    on_hand: i64,
    reserved: i64,
    allotted: i64,
    available: i64,
    version: u64,
    last_updated: &'static str,
}

/// Serves `POST /echo` and `GET /echo/{id}` until the process ends.
///
/// # Errors
/// Those of the listener.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let router = Router::new()
        .route("/echo", post(update))
        .route("/echo/{id}", get(read));
    axum::serve(listener, router).await
}

async fn update(Json(update): Json<Update>) -> Json<Answer> {
    Json(Answer {
        new_quantity: 999_999_000,
        new_version: 1_000,
        applied: true,
        last_updated: "2026-01-15T10:30:00.123Z",
        delta: update.delta,
        offset: update.store_id.len(),
        product_id: update.product_id,
        idempotency_key: update.idempotency_key,
    })
}

async fn read(Path(product_id): Path<String>) -> Json<Product> {
    Json(Product {
        product_id,
        name: "Bench product 000001",
        category: "Bench",
        sku: "BENCH-000001",
        barcode: "2000000000008",
        price: 12.34,
        on_hand: 1_000_000_000,
        reserved: 0,
        allotted: 0,
        available: 1_000_000_000,
        version: 1,
        last_updated: "2026-01-15T10:30:00.123Z",
    })
}
