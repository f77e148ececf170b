//! One page of a list, and its body.

use std::sync::Arc;

use super::catalogue::Head;
use super::slots::Published;
use crate::wire::product::{Encoder, integer, string};

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its rows, in order.
    pub products: Vec<Arc<Published>>,
    /// Rows before it: what was asked for, or what the cursor has counted.
    pub offset: usize,
    /// Most rows it could have.
    pub limit: usize,
    /// Rows of the whole list.
    pub total: usize,
    /// Where the next page begins, unless this is the last.
    pub next: Option<String>,
    /// A head that the page is not behind: following the feed from there misses nothing.
    pub head: Head,
}

impl Page {
    /// Appends the page as a JSON object. `generation` names the log that the head's offset
    /// counts in.
    pub fn encode(&self, encoder: &mut Encoder, generation: Option<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"products\":[");
        for (at, published) in self.products.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            encoder.product(out, &published.product);
        }
        out.extend_from_slice(b"],\"pagination\":{\"offset\":");
        integer(out, self.offset);
        out.extend_from_slice(b",\"limit\":");
        integer(out, self.limit);
        out.extend_from_slice(b",\"total_count\":");
        integer(out, self.total);
        out.extend_from_slice(match self.next {
            Some(_) => b",\"has_more\":true}".as_slice(),
            None => b",\"has_more\":false}".as_slice(),
        });
        if let Some(next) = &self.next {
            out.extend_from_slice(b",\"nextCursor\":");
            string(out, next);
        }
        if let Some(generation) = generation {
            out.extend_from_slice(format!(",\"gen\":\"{generation:016x}\"").as_bytes());
        }
        out.extend_from_slice(b",\"asOfOffset\":");
        integer(out, self.head.offset);
        out.push(b'}');
    }
}
