//! Offsets are unique and grow with time, over all products, and with the versions of each.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::Violation;
use super::super::history::{History, Outcome};

/// Checks the offsets of all changes that were told theirs.
///
/// # Errors
/// The first one that does not fit.
pub(super) fn check(history: &History) -> Result<(), Violation> {
    let mut edges = Vec::new();
    let mut numbered = Vec::new();
    for (index, op) in history.ops.iter().enumerate() {
        if let (
            Outcome::Applied {
                offset: Some(offset),
                version,
                ..
            },
            Some(returned),
        ) = (op.outcome, op.returned)
        {
            edges.push((op.invoked, false, offset, index));
            edges.push((returned.max(op.invoked), true, offset, index));
            numbered.push((offset, version, index));
        }
    }
    let violation = |index: usize, what: String| {
        let product = history.ops.get(index).map(|op| Arc::clone(&op.product));
        Violation {
            product: product.unwrap_or_else(|| Arc::from("")),
            op: Some(index),
            what,
        }
    };
    edges.sort_unstable();
    let mut floor = None;
    for (_, returns, offset, index) in edges {
        if returns {
            floor = floor.max(Some(offset));
        } else if Some(offset) <= floor {
            return Err(violation(
                index,
                format!(
                    "offset {offset} was given to a change asked for after offset {floor:?} was told"
                ),
            ));
        }
    }
    numbered.sort_unstable();
    let mut last_offset = None;
    let mut last_version: HashMap<&Arc<str>, u64> = HashMap::new();
    for (offset, version, index) in numbered {
        let Some(op) = history.ops.get(index) else {
            continue;
        };
        if last_offset.replace(offset) == Some(offset) {
            return Err(violation(index, format!("offset {offset} was given twice")));
        }
        let before = last_version.insert(&op.product, version);
        if before.is_some_and(|before| before >= version) {
            return Err(violation(
                index,
                format!("offset {offset} has version {version}, an earlier one {before:?}"),
            ));
        }
    }
    Ok(())
}
