//! What the descriptions of both services' APIs share: bodies, problems, the key, bounds.
//!
//! Each service describes its routes beside its handlers and generates `/openapi.json` from that.
//! Here is what would otherwise be said twice, and what nobody should have to remember: every
//! operation that needs a key may answer 400, 401 and 403, every one with a body 413, and so on.
//! [`Common`] adds those, and each problem comes with an example made by the very code that writes
//! problems.
//!
//! Whole numbers are bounded to what a JavaScript number holds exactly ([`bounded`]): a bare 64-bit
//! format makes generators produce clients that lose digits, and testers send 2^63 and call the
//! refusal a broken promise.

pub mod bodies;
pub mod examples;
pub mod feed;
pub mod order_examples;
pub mod order_reads;
pub mod orders;

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, Response};

pub use bodies::{
    CategoriesBody, CategoryBody, DetailBody, HealthBody, ListParams, PageBody, PaginationBody,
    ProblemBody, ProductBody, SseEventBody,
};

use super::rate_limit::is_limited;
use crate::limits::{EXACT_MAX, ID_BYTES};
use crate::wire::problem::{Problem, ProblemCode};

/// The media type of problems.
const PROBLEM_JSON: &str = "application/problem+json";

/// Names problems that an operation may answer with, as a type to stand in its `responses`.
#[macro_export]
macro_rules! problem_set {
    ($($(#[$doc:meta])* $vis:vis $name:ident = $($code:ident)|+;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        $vis struct $name;

        impl ::utoipa::IntoResponses for $name {
            fn responses() -> ::std::collections::BTreeMap<
                String,
                ::utoipa::openapi::RefOr<::utoipa::openapi::Response>,
            > {
                $crate::service::openapi::problems(&[
                    $($crate::wire::problem::ProblemCode::$code),+
                ])
            }
        }
    )+};
}

/// The answers that carry `codes`, by status.
#[must_use]
pub fn problems(codes: &[ProblemCode]) -> BTreeMap<String, RefOr<Response>> {
    let mut responses = BTreeMap::new();
    for code in codes {
        add(&mut responses, *code);
    }
    responses
}

/// Adds what an answer with `code` looks like, beside others of the same status.
fn add(responses: &mut BTreeMap<String, RefOr<Response>>, code: ProblemCode) {
    let status = code.status().as_u16().to_string();
    let known = responses
        .entry(status)
        .or_insert_with(|| RefOr::T(Response::new("")));
    let RefOr::T(response) = known else {
        return;
    };
    let schema = RefOr::Ref(Ref::from_schema_name("ProblemBody"));
    let content = response
        .content
        .entry(PROBLEM_JSON.to_owned())
        .or_insert_with(|| RefOr::T(Content::new(Some(schema))));
    let RefOr::T(content) = content else {
        return;
    };
    let word = code.as_str();
    if content.examples.contains_key(word) {
        return;
    }
    let sentence = format!("`{word}`: {}", code.title());
    if !response.description.is_empty() {
        response.description.push(' ');
    }
    response.description.push_str(&sentence);
    let body = Problem::new(code, code.title()).body("/v1/inventory/updates", "8d1f6c02-17");
    let example = utoipa::openapi::example::ExampleBuilder::new()
        .summary(code.title())
        .value(Some(body))
        .build();
    content.examples.insert(word.to_owned(), RefOr::T(example));
}

/// Adds the way to send a key, and to each operation the problems that it shares with all like it.
#[derive(Debug)]
pub struct Common;

impl utoipa::Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("apiKey", header);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            complete(item, is_limited(path));
        }
    }
}

fn complete(item: &mut PathItem, limited: bool) {
    let PathItem {
        get,
        put,
        post,
        delete,
        ..
    } = item;
    for operation in [get, put, post, delete].into_iter().flatten() {
        if let Some(ways) = &mut operation.security {
            let scopes: [&str; 0] = [];
            ways.push(SecurityRequirement::new("bearer", scopes));
        }
        let responses = &mut operation.responses.responses;
        for code in shared_problems(
            operation.security.is_some(),
            operation.request_body.is_some(),
            limited,
        ) {
            add(responses, *code);
        }
        // Said by the connection, before anybody looks at what was asked.
        let large = Response::new("The request head is too large.");
        responses.insert("431".to_owned(), RefOr::T(large));
        responses
            .iter_mut()
            .for_each(|(status, response)| name(status, response));
    }
}

/// Gives an answer without a description, which every answer must have, the name of its status.
fn name(status: &str, response: &mut RefOr<Response>) {
    if let RefOr::T(response) = response
        && response.description.is_empty()
    {
        let status = status.parse::<StatusCode>().ok();
        let reason = status.and_then(|status| status.canonical_reason());
        response.description = reason.unwrap_or("As asked").to_owned();
    }
}

/// The problems of every operation that wants a key, of every one that reads a JSON body, and of every
/// one that can be asked for too often.
fn shared_problems(
    keyed: bool,
    body: bool,
    limited: bool,
) -> impl Iterator<Item = &'static ProblemCode> {
    const KEYED: &[ProblemCode] = &[
        // Two different keys in one request.
        ProblemCode::InvalidRequest,
        ProblemCode::Unauthorized,
        ProblemCode::Forbidden,
    ];
    const LIMITED: &[ProblemCode] = &[ProblemCode::RateLimited];
    const BODY: &[ProblemCode] = &[
        ProblemCode::BadRequest,
        ProblemCode::BodyTimeout,
        ProblemCode::BodyTooLarge,
        ProblemCode::UnsupportedMediaType,
    ];
    let of = |wanted: bool, codes: &'static [ProblemCode]| {
        codes.iter().take(if wanted { codes.len() } else { 0 })
    };
    of(keyed, KEYED)
        .chain(of(body, BODY))
        .chain(of(limited, LIMITED))
}

/// The document as JSON, with [`Common`] applied and every whole number in it bounded.
///
/// # Panics
/// Never: the document is made of maps with text keys.
#[must_use]
pub fn finished(mut document: OpenApi) -> Value {
    utoipa::Modify::modify(&Common, &mut document);
    let mut document = serde_json::to_value(document).expect("maps with text keys become JSON");
    bounded(&mut document);
    shaped(&mut document);
    document
}

/// Says of ids, keys and tags in headers and paths what they look like, as [`check_id`] and
/// [`precondition`](super::precondition) have it.
///
/// [`check_id`]: crate::domain::ids::check_id
fn shaped(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let paths = paths.into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|path| path.values_mut()) {
        let parameters = operation.get_mut("parameters");
        let parameters = parameters.and_then(Value::as_array_mut);
        parameters.into_iter().flatten().for_each(shape);
    }
}

fn shape(parameter: &mut Value) {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str);
    let pattern = match (text("in"), text("name")) {
        // More than the most means the most, however many digits it has.
        (Some("query"), Some("limit" | "offset" | "wait")) => None,
        (Some("header"), Some("If-Match")) => Some(r#"^(\*|"[0-9]{1,16}")$"#),
        (Some("header"), Some("Idempotency-Key")) | (Some("path"), Some(_)) => Some("^[!-.0-~]+$"),
        _ => return,
    };
    let schema = parameter.get_mut("schema").and_then(Value::as_object_mut);
    let Some(schema) = schema else { return };
    let Some(pattern) = pattern else {
        schema.remove("maximum");
        schema.remove("format");
        return;
    };
    if schema.get("type") == Some(&json!("string")) {
        schema.insert("pattern".to_owned(), json!(pattern));
        schema.insert("minLength".to_owned(), json!(1));
        schema.insert("maxLength".to_owned(), json!(ID_BYTES));
    }
}

/// Bounds every integer schema that has no bounds of its own.
fn bounded(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(bounded),
        Value::Object(members) => {
            let whole = match members.get("type") {
                Some(Value::String(one)) => one == "integer",
                Some(Value::Array(several)) => several.contains(&json!("integer")),
                _ => false,
            };
            if whole {
                members.entry("maximum").or_insert(json!(EXACT_MAX));
                members.entry("minimum").or_insert(json!(-EXACT_MAX));
            }
            members
                .iter_mut()
                .filter(|(name, _)| !matches!(name.as_str(), "example" | "examples"))
                .for_each(|(_, member)| bounded(member));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
