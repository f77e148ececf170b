//! What central says over HTTP: parse, one call, shape the answer.

pub mod update_body;
