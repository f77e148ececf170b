//! Tests of the central service through its public surface.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod harness;

mod admin_products;
mod api_keys;
mod availability;
mod bodies;
mod breakers;
mod compressed;
mod contract;
mod counts;
mod decayed_snapshots;
mod described;
mod dropped_answers;
mod fake_stripe;
mod faults;
mod feed;
mod feeds;
mod first_key;
mod full_disk;
mod full_queue;
mod head;
mod headers;
mod history;
mod import;
mod import_beside_sales;
mod keys;
mod ledger;
mod live;
mod metrics;
mod old_orders;
mod order_feed;
mod order_history;
mod order_kills;
mod orders;
mod orders_read;
mod pending_refund;
mod products;
mod program;
mod racers;
mod rate_limits;
mod requests;
mod reservations;
mod runner;
mod rush;
mod seed_003;
mod served;
mod shop;
mod snapshots;
mod spent_key;
mod stores;
mod stripe;
mod two_centrals;
mod verify;
