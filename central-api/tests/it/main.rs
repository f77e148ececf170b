//! Tests of the central service through its public surface.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ledger;
