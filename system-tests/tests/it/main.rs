//! The real programs under load and faults.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod bound_keys;
mod coming_from;
mod configuration;
mod container_scripts;
mod described;
mod faults;
mod full_disk;
mod histories;
mod hot_product;
mod kills;
mod map;
mod monitoring;
mod orders;
mod other_centrals;
mod promises;
mod scene;
mod seed_003_stores;
mod start_script;
mod store_faults;
mod till;
mod tls;
mod traces;
mod write_headers;
