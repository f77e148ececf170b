//! Which page of a list is asked for: by `offset`, or on a walk by `cursor`, and of what size.
//!
//! One reading for the lists that have both, so that they are capped and refused alike. What a cursor
//! means is its list's own affair; here is only that one is there. An empty one begins a walk.

use shared::limits;
use shared::service::query::QueryParams;

/// The page that is asked for, apart from where a walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageAsk {
    /// Rows to pass over; 0 on a walk.
    pub(super) offset: usize,
    /// Most rows of the page.
    pub(super) limit: usize,
}

impl PageAsk {
    /// Reads `offset`, `limit` and that there is a `cursor`; what is wrong with them is noted.
    pub(super) fn read(params: &mut QueryParams<'_>) -> Self {
        let offset = params.integer("offset", 0..=limits::EXACT_MAX);
        let is_walk = params.raw("cursor").is_some();
        if offset.is_some() && is_walk {
            params.fault("cursor", "cannot be given together with offset");
        }
        let most = if is_walk {
            limits::PAGE_BY_CURSOR
        } else {
            limits::PAGE_BY_OFFSET
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let limit = params.integer_capped("limit", 1..=most);
        let size = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            offset: offset.map_or(0, size),
            limit: limit.map_or(limits::PAGE_DEFAULT, size),
        }
    }
}

/// The cursor that is there, unless it only begins a walk.
pub(super) fn given_cursor<T, E: std::fmt::Display>(
    params: &mut QueryParams<'_>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match params.raw("cursor") {
        None | Some("") => None,
        Some(_) => params.parsed_by("cursor", parse),
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn a_page_is_capped_by_how_it_is_asked_for_and_every_fault_is_named() {
        let read = |query: &str| {
            let uri: Uri = format!("/list?{query}").parse().unwrap();
            let mut params = QueryParams::parse(&uri);
            let ask = PageAsk::read(&mut params);
            params.finish().map(|()| (ask.offset, ask.limit))
        };
        for (query, page) in [
            ("", (0, 50)),
            ("offset=7&limit=3", (7, 3)),
            ("limit=5000", (0, 200)),
            ("cursor=&limit=5000", (0, 1_000)),
            ("cursor=x", (0, 50)),
        ] {
            assert_eq!(read(query).unwrap(), page, "{query}");
        }
        for (query, faults) in [
            ("offset=-1&limit=0", 2),
            ("offset=1&cursor=x", 1),
            ("offset=0&cursor=&limit=many", 2),
        ] {
            let problem = read(query).unwrap_err();
            assert_eq!(problem.details.len(), faults, "{query}: {problem:?}");
        }
    }
}
