//! Tests of the central service through its public surface.

mod ledger;
