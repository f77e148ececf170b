//! See `bodies/update_body.rs`.
#![no_main]

#[path = "../bodies/update_body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
