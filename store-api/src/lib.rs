//! The shop's own inventory service: serves from its cache, follows central, writes through it.

pub mod replica;
