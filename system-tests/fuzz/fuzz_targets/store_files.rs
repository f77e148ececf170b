//! See `bodies/store_files.rs`.
#![no_main]

#[path = "../bodies/archive.rs"]
mod archive;
#[path = "../bodies/store_files.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
