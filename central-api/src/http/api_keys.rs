//! `/v1/admin/api-keys`: who may call, and what for.
//!
//! Keys are made, given a new secret and revoked by decisions like any other: recorded with who asked
//! and when, durable before they are answered, and in force from that answer on. The secret is in the
//! answer of the call that made it and nowhere else; whoever loses that answer asks for another secret
//! (the name is taken, and the refusal says by which key). That is why no idempotency key goes with
//! these calls: a repeat could not be given the same answer.
//!
//! The keys of the settings are not listed: they are no facts of the log, and nothing here could
//! change them.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use secrecy::ExposeSecret as _;
use shared::domain::access::{ApiKey, Command, SecretHash};
use shared::domain::ids::ApiKeyId;
use shared::domain::{ItemResult, Rejection};
use shared::limits;
use shared::service::auth::{Caller, CreatedKey, Scope};
use shared::service::extract::{JsonBody, read_body};
use shared::service::query::QueryParams;
use shared::service::request_context::RequestContext;
use shared::wire::problem::Problem;
use utoipa::IntoParams;

use super::api_key_body::{
    self, ApiKeyBody, ApiKeyRequest, ApiKeyRotation, ApiKeysBody, NewApiKeyBody,
};
use super::decision::{decide, origin};
use super::{AppState, location, refusal};
use crate::ids;

/// Where keys are.
const PATH: &str = "/v1/admin/api-keys";

shared::problem_set! {
    /// What a question about many keys can be refused for.
    ApiKeyListProblems = InvalidRequest;
    /// What a question about one, or its end, can be refused for.
    ApiKeyProblems = ApiKeyNotFound;
    /// What a new key can be refused for.
    NewApiKeyProblems = InvalidRequest | ApiKeyExists | TooManyApiKeys;
    /// What a new secret can be refused for.
    RotationProblems = InvalidRequest | ApiKeyNotFound | ApiKeyEnded;
}

/// Where a page of keys begins and ends.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the query may say")]
pub struct ApiKeyListParams {
    /// Rows; default 50, at most 1 000.
    #[param(minimum = 1, nullable = false)]
    limit: Option<i64>,
    /// What the page before said is next.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A page of the keys that were created, the newest first; those that have ended are among them.
///
/// # Errors
/// 400 with every fault of the query; 403 without an admin key.
#[utoipa::path(
    get, path = "/v1/admin/api-keys", tag = "admin", operation_id = "listApiKeys", security(("apiKey" = [])),
    params(ApiKeyListParams),
    responses((status = 200, body = ApiKeysBody, example = json!({"apiKeys": [api_key_body::example()]})), ApiKeyListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<ApiKeysBody>, Problem> {
    caller.require(Scope::Admin)?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["limit", "cursor"]);
    let most = i64::try_from(limits::PAGE_BY_CURSOR).unwrap_or(i64::MAX);
    let limit = params.integer_capped("limit", 1..=most);
    let before = params.parsed_by("cursor", ApiKeyId::parse);
    params.finish()?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT);
    let before = before.as_ref().map(ApiKeyId::as_str);
    let mut found = state.ledger.published().access.before(before, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let now = state.ledger.now();
    Ok(Json(ApiKeysBody {
        next_cursor: last.map(|(key, _)| key.key_id.to_string()),
        api_keys: found
            .iter()
            .map(|(key, used)| ApiKeyBody::of(key, *used, now))
            .collect(),
    }))
}

/// One key.
///
/// # Errors
/// 403 without an admin key; 404.
#[utoipa::path(
    get, path = "/v1/admin/api-keys/{keyId}", tag = "admin", operation_id = "getApiKey", security(("apiKey" = [])),
    params(("keyId" = String, Path, example = "key-01kf0k5m10hhhhhhhhhhhhhhhh")),
    responses((status = 200, body = ApiKeyBody, example = json!(api_key_body::example())), ApiKeyProblems)
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ApiKeyBody>, Problem> {
    caller.require(Scope::Admin)?;
    let found = state.ledger.published().access.get(&id);
    let (key, used) = found.ok_or_else(|| not_found(&id))?;
    Ok(Json(ApiKeyBody::of(&key, used, state.ledger.now())))
}

/// Makes a key. Its secret is in this answer and never shown again.
///
/// # Errors
/// 400 with every fault; 403 without an admin key; 409 if the name is taken or there are too many.
#[utoipa::path(
    post, path = "/v1/admin/api-keys", tag = "admin", operation_id = "createApiKey", security(("apiKey" = [])),
    request_body(content = ApiKeyRequest, example = json!(api_key_body::request_example())),
    responses((status = 201, description = "The key, with its secret.", body = NewApiKeyBody, headers(("Location" = String)), example = json!(api_key_body::new_example())), NewApiKeyProblems)
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let wanted = api_key_body::parse_new(&body)?;
    let key = ids::api_key_id(state.ledger.now(), rand::random());
    let (secret, hash) = new_secret(&key);
    let command = Command::Create {
        key,
        name: wanted.name,
        scope: wanted.scope,
        store: wanted.store,
        expires_at: wanted.expires_at,
        secret: hash,
        by: caller.principal_for(None),
    };
    let key = changed(&state, &caller, &context, command).await?;
    let path = location(PATH, key.key_id.as_str());
    let mut answer = (StatusCode::CREATED, shown_once(&state, &key, secret)).into_response();
    answer.headers_mut().insert(LOCATION, path);
    Ok(answer)
}

/// Gives a key a new secret; the one before counts a while longer, for whoever has yet to change.
///
/// # Errors
/// 400 with every fault; 403 without an admin key; 404; 409 for a key that counts no more.
#[utoipa::path(
    post, path = "/v1/admin/api-keys/{keyId}/rotate", tag = "admin", operation_id = "rotateApiKey", security(("apiKey" = [])),
    params(("keyId" = String, Path, example = "key-01kf0k5m10hhhhhhhhhhhhhhhh")),
    request_body(content = Option<ApiKeyRotation>, example = json!({"overlapSeconds": 3_600})),
    responses((status = 200, description = "The key, with its new secret.", body = NewApiKeyBody, example = json!(api_key_body::new_example())), RotationProblems)
)]
pub async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let body = read_body(request).await?;
    let overlap_seconds = api_key_body::parse_rotation(&body)?;
    let key = ApiKeyId::parse(&id).map_err(|_| not_found(&id))?;
    let (secret, hash) = new_secret(&key);
    let command = Command::Rotate {
        key,
        secret: hash,
        overlap_millis: overlap_seconds * 1_000,
    };
    let key = changed(&state, &caller, &context, command).await?;
    Ok(shown_once(&state, &key, secret))
}

/// Ends a key at once, and every answer that still goes on under it.
///
/// # Errors
/// 403 without an admin key; 404.
#[utoipa::path(
    delete, path = "/v1/admin/api-keys/{keyId}", tag = "admin", operation_id = "revokeApiKey", security(("apiKey" = [])),
    params(("keyId" = String, Path, example = "key-01kf0k5m10hhhhhhhhhhhhhhhh")),
    responses((status = 200, description = "The key, which counts no more.", body = ApiKeyBody, example = json!(api_key_body::example())), ApiKeyProblems)
)]
pub async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Json<ApiKeyBody>, Problem> {
    caller.require(Scope::Admin)?;
    let command = Command::Revoke {
        key: ApiKeyId::parse(&id).map_err(|_| not_found(&id))?,
        by: caller.principal_for(None),
    };
    let key = changed(&state, &caller, &context, command).await?;
    let used = state.ledger.published().access.get(key.key_id.as_str());
    let used = used.and_then(|(_, used)| used);
    Ok(Json(ApiKeyBody::of(&key, used, state.ledger.now())))
}

/// A new secret for a key, and what is kept of it.
fn new_secret(key: &ApiKeyId) -> (String, SecretHash) {
    let token = ids::token_of(key.as_str());
    let (secret, hash) = CreatedKey::generate(token, rand::random(), rand::random());
    (secret.expose_secret().to_owned(), hash)
}

/// Has a command about a key decided; the key as it stands afterwards.
async fn changed(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    command: Command,
) -> Result<ApiKey, Problem> {
    let (Command::Create { key, .. } | Command::Rotate { key, .. } | Command::Revoke { key, .. }) =
        &command;
    let (id, kind) = (key.clone(), command.kind());
    let origin = origin(caller, context, None, None);
    let (decided, _) = decide(state, origin, command).await?;
    if let Some(ItemResult::Refused(rejection)) = decided.decision.results.first() {
        return Err(refusal::problem(rejection));
    }
    tracing::info!(key_id = %id, kind, "an API key has changed");
    match decided.decision.api_keys.first() {
        Some(key) => Ok(ApiKey::clone(key)),
        // It stood so already.
        None => {
            let found = state.ledger.published().access.get(id.as_str());
            found
                .map(|(key, _)| ApiKey::clone(&key))
                .ok_or_else(|| not_found(id.as_str()))
        }
    }
}

/// A key with the secret that is shown this once, which nobody on the way may keep.
fn shown_once(state: &AppState, key: &ApiKey, secret: String) -> Response {
    let body = ApiKeyBody::of(key, None, state.ledger.now()).with_secret(secret);
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([no_store], Json(body)).into_response()
}

fn not_found(id: &str) -> Problem {
    let key_id = id.chars().take(limits::ID_BYTES).collect::<String>().into();
    refusal::problem(&Rejection::ApiKeyNotFound { key_id })
}
