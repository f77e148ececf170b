//! See `bodies/journal_frames.rs`.
#![no_main]

#[path = "../bodies/archive.rs"]
mod archive;
#[path = "../bodies/journal_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
