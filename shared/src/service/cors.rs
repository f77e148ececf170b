//! Which pages of other origins may call from a browser: none, unless a setting names them.
//!
//! A layer only where origins are named, so that nobody else pays for it. Without credentials: a page
//! of another origin brings an API key, never a cookie. Left out: wildcards, since whoever holds a key
//! knows where its pages come from.

use std::time::Duration;

use axum::Router;
use http::header::{
    ACCEPT, AGE, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::sse::LAST_EVENT_ID;
use crate::wire::headers::{
    API_KEY, CACHE_STATUS, CENTRAL, CORRELATION_ID, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED,
    LOG_CURSOR, LOG_GEN, LOG_HEAD, MIN_OFFSET, RATE_LIMIT, RATE_LIMIT_POLICY, REQUEST_ID, SYNC_LAG,
    SYNC_OFFSET, SYNC_VISIBLE, TRACEPARENT, X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING,
    X_RATE_LIMIT_RESET,
};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Origins whose pages may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Reads the setting `CORS_ALLOWED_ORIGINS`: comma-separated, blank entries ignored.
    ///
    /// # Errors
    /// A line for every entry that is not an origin.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut origins = Vec::new();
        let mut faults = Vec::new();
        for (index, entry) in text.split(',').map(str::trim).enumerate() {
            match origin(entry) {
                _ if entry.is_empty() => {}
                Some(origin) => origins.push(origin),
                None => faults.push(format!(
                    "CORS_ALLOWED_ORIGINS[{index}]: {entry:?} is not an origin such as https://shop.example"
                )),
            }
        }
        if faults.is_empty() {
            Ok(Self(origins))
        } else {
            Err(faults)
        }
    }

    /// Lets pages of these origins call what `router` serves.
    pub fn allow(&self, router: Router) -> Router {
        if self.0.is_empty() {
            return router;
        }
        let ours = |name: &HeaderName| name.clone();
        let sent = [
            &API_KEY,
            &IDEMPOTENCY_KEY,
            &REQUEST_ID,
            &CORRELATION_ID,
            &TRACEPARENT,
            &MIN_OFFSET,
        ];
        let sent = sent.map(ours).into_iter();
        let sent = sent.chain([ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH]);
        let sent = sent.chain([HeaderName::from_static(LAST_EVENT_ID)]);
        // What a copy says of its age belongs to what it answers.
        let shown = [
            &REQUEST_ID,
            &CORRELATION_ID,
            &IDEMPOTENT_REPLAYED,
            &LOG_GEN,
            &LOG_HEAD,
            &LOG_CURSOR,
            &SYNC_OFFSET,
            &SYNC_LAG,
            &SYNC_VISIBLE,
            &CENTRAL,
            &CACHE_STATUS,
            &RATE_LIMIT_POLICY,
            &RATE_LIMIT,
            &X_RATE_LIMIT_LIMIT,
            &X_RATE_LIMIT_REMAINING,
            &X_RATE_LIMIT_RESET,
        ];
        let shown = shown.map(ours).into_iter();
        let shown = shown.chain([AGE, ETAG, LOCATION, RETRY_AFTER]);
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(sent.collect::<Vec<_>>())
            .expose_headers(shown.collect::<Vec<_>>())
            .max_age(REMEMBERED);
        router.layer(layer)
    }
}

/// `scheme://host[:port]`, as browsers write it.
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let bare = uri
        .authority()
        .is_some_and(|authority| text.ends_with(authority.as_str()));
    (web && bare)
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
    use http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn every_entry_that_is_no_origin_is_named() {
        let faults = Origins::parse("*, https://a.example, b.example,https://c.example/,ftp://d");
        let faults = faults.unwrap_err();
        let named: Vec<_> = faults.iter().map(|fault| fault.split(':').next()).collect();
        let at = |index| format!("CORS_ALLOWED_ORIGINS[{index}]");
        assert_eq!(
            named,
            [0, 2, 3, 4]
                .map(at)
                .each_ref()
                .map(|name| Some(name.as_str()))
        );
        let two = Origins::parse("https://a.example, ,http://localhost:5173").unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!(Origins::parse("").unwrap(), Origins::default());
    }

    async fn preflight(origins: &str, origin: &str) -> (StatusCode, Option<HeaderValue>) {
        let router = Router::new().route("/", get(|| async { "" }));
        let router = Origins::parse(origins).unwrap().allow(router);
        let request = Request::options("/")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let allowed = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
        (response.status(), allowed)
    }

    #[tokio::test]
    async fn only_named_origins_are_allowed_and_none_by_default() {
        let named = "https://a.example,https://b.example";
        let (status, allowed) = preflight(named, "https://b.example").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(allowed.unwrap(), "https://b.example");
        assert_eq!(preflight(named, "https://c.example").await.1, None);
        assert_eq!(
            preflight("", "https://a.example").await,
            (StatusCode::METHOD_NOT_ALLOWED, None)
        );
    }
}
