//! Problem → HTTP answer.
//!
//! A handler returns a [`Problem`] and knows neither the path nor the request id that belong into
//! its body. So [`IntoResponse`] only sets the status and leaves the problem in the answer's
//! extensions; the layer of [`request_context`](super::request_context), which every request
//! passes, writes the body with [`render`]. The same layer gives a body to errors that are not
//! ours: axum's own rejections are plain text or empty, which would break the promise that every
//! error is `application/problem+json`.
//!
//! Headers that a handler adds beside the problem (`ETag`, `Cache-Control`, `Log-Gen`) stay.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::wire::problem::{Problem, ProblemCode};

/// The content type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// A reader that is lost asks again at once; a proxy may answer a thousand of them with one answer.
const BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=1");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"holdfast\"");
/// When nothing better is known; what is overloaded now is rarely well within a second.
const RETRY_AFTER_DEFAULT_SECONDS: u32 = 1;

/// A problem on its way to the layer that writes its body.
#[derive(Clone, Debug)]
struct Unwritten(Problem);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(Unwritten(self));
        response
    }
}

/// Answers a path that does not exist.
pub async fn not_found() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is nothing at this path")
}

/// Answers a method that does not exist at an existing path; axum adds `Allow`.
pub async fn method_not_allowed() -> Problem {
    Problem::new(
        ProblemCode::MethodNotAllowed,
        "this path exists, but not with this method",
    )
}

/// Makes an error answer what every error answer must be: a problem with its path and request id,
/// not to be stored unless somebody decided otherwise.
pub fn render(response: &mut Response, instance: &str, request_id: &str) {
    let problem = match response.extensions_mut().remove::<Unwritten>() {
        Some(Unwritten(problem)) => problem,
        None if is_ours(response.headers()) => {
            return set_cache_control(response.headers_mut(), NO_STORE);
        }
        None => foreign(response.status()),
    };
    // A foreign status without a code of its own, such as 431, keeps its number.
    let status = response.status();
    let mut body = problem.body(instance, request_id);
    if let Some(member) = body.get_mut("status") {
        *member = status.as_u16().into();
    }
    *response.body_mut() = Body::from(body.to_string());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    set_cache_control(headers, cacheable(problem.code));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = problem.retry_after_seconds;
            let seconds = seconds.unwrap_or(RETRY_AFTER_DEFAULT_SECONDS);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        _ => {
            if let Some(seconds) = problem.retry_after_seconds {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
    }
}

/// Whether somebody shaped this error on purpose: axum's own have no type, or plain text.
fn is_ours(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| !value.as_bytes().starts_with(b"text/plain"))
}

/// For how long a problem may be given to others. Two say something about the log and not about the
/// one who asked.
const fn cacheable(code: ProblemCode) -> HeaderValue {
    match code {
        ProblemCode::LogDiverged | ProblemCode::OffsetAhead => BRIEFLY,
        _ => NO_STORE,
    }
}

fn set_cache_control(headers: &mut HeaderMap, unless_said: HeaderValue) {
    headers.entry(CACHE_CONTROL).or_insert(unless_said);
}

/// The problem that says what a bare status says.
fn foreign(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::UNAUTHORIZED => ProblemCode::Unauthorized,
        StatusCode::FORBIDDEN => ProblemCode::Forbidden,
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::NOT_ACCEPTABLE => ProblemCode::NotAcceptable,
        StatusCode::REQUEST_TIMEOUT => ProblemCode::BodyTimeout,
        StatusCode::PRECONDITION_FAILED => ProblemCode::PreconditionFailed,
        StatusCode::PRECONDITION_REQUIRED => ProblemCode::PreconditionRequired,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        StatusCode::TOO_MANY_REQUESTS => ProblemCode::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => ProblemCode::Overloaded,
        StatusCode::GATEWAY_TIMEOUT => ProblemCode::Timeout,
        other if other.is_server_error() => ProblemCode::Internal,
        _ => ProblemCode::BadRequest,
    };
    Problem::new(code, code.title())
}
