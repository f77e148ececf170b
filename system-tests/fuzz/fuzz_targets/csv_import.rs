//! See `bodies/csv_import.rs`.
#![no_main]

#[path = "../bodies/csv_import.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
