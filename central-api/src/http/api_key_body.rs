//! API keys as they cross the wire: read, written, described.

use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::domain::access::{ApiKey, Scope, Secret};
use shared::domain::ids::{Principal, StoreId};
use shared::limits;
use shared::service::auth::CreatedKey;
use shared::wire::problem::Problem;
use shared::wire::unique::object;
use utoipa::ToSchema;

use super::fields::{Fields, checked, code_of, or_empty};
use crate::ids;

/// A key to be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyRequest {
    /// As whom its holder acts: stands in the history, and is whose idempotency keys they are.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// What it may do; each contains the one before it.
    #[schema(pattern = "^(read|store|admin)$")]
    scope: String,
    /// The only store for which it may speak; for the scope `store` alone.
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// When its time is over; never if not said.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A new secret to be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyRotation {
    /// How long the one before still counts; default a day.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<i64>,
}

/// A key, without what opens it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyBody {
    #[schema(min_length = 1, max_length = 128)]
    key_id: String,
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[schema(pattern = "^(read|store|admin)$")]
    scope: &'static str,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    store_id: Option<String>,
    #[schema(pattern = "^(active|expired|revoked)$")]
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: String,
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_by: Option<String>,
    /// To a minute, if the service was killed since.
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    /// Its secrets that count, oldest first.
    secrets: Vec<SecretBody>,
}

/// One secret of a key, as people tell it from others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretBody {
    /// What it begins with.
    begins_with: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when it counts, if another has taken its place.
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
}

/// A key with its new secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKeyBody {
    #[serde(flatten)]
    key: ApiKeyBody,
    /// What goes into `X-API-Key`. It is shown this once and kept nowhere.
    secret: String,
}

/// A page of keys, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeysBody {
    pub(super) api_keys: Vec<ApiKeyBody>,
    /// For the next page; there is none without it.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl ApiKeyBody {
    /// A key as it stands at `now`.
    #[must_use]
    pub fn of(key: &ApiKey, last_used_at: Option<Timestamp>, now: Timestamp) -> Self {
        let state = match (key.revoked_at, key.ended(now)) {
            (Some(_), _) => "revoked",
            (None, Some(_)) => "expired",
            (None, None) => "active",
        };
        let prefix = CreatedKey::prefix(ids::token_of(key.key_id.as_str()));
        let secret = |secret: &Secret| SecretBody {
            begins_with: format!("{prefix}{}", secret.hash.hint),
            created_at: secret.created_at,
            valid_until: secret.valid_until,
        };
        Self {
            key_id: key.key_id.to_string(),
            name: key.name.to_string(),
            scope: key.scope.as_str(),
            store_id: key.store_id.as_ref().map(StoreId::to_string),
            state,
            created_at: key.created_at,
            created_by: key.created_by.to_string(),
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            revoked_by: key.revoked_by.as_ref().map(Principal::to_string),
            last_used_at,
            secrets: key.secrets_at(now).map(secret).collect(),
        }
    }

    /// The same with the `secret` that is shown once.
    #[must_use]
    pub const fn with_secret(self, secret: String) -> NewApiKeyBody {
        NewApiKeyBody { key: self, secret }
    }
}

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey {
    /// As whom its holder acts.
    pub name: Principal,
    /// What it may do.
    pub scope: Scope,
    /// The only store for which it may speak.
    pub store: Option<StoreId>,
    /// When its time is over.
    pub expires_at: Option<Timestamp>,
}

/// Reads what a new key is to be.
///
/// # Errors
/// 400 with every fault.
pub fn parse_new(body: &[u8]) -> Result<NewKey, Problem> {
    let members = object(body)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["name", "scope", "storeId", "expiresAt"]);
    let name = fields.parsed_by("name", Principal::parse);
    let name = fields.required("name", name);
    if name.as_ref().is_some_and(is_reserved) {
        fields.fault("name", "is the name of keys that have none");
    }
    let scope = fields.parsed_by("scope", |text| {
        let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
        scope.ok_or("must be one of read, store, admin")
    });
    let scope = fields.required("scope", scope);
    let store = fields.parsed_by("storeId", StoreId::parse);
    if store.is_some() && scope.is_some_and(|scope| scope != Scope::Store) {
        fields.fault("storeId", "binds a key of the scope store only");
    }
    let expires_at = fields.parsed_by("expiresAt", |text| {
        text.parse::<Timestamp>()
            .map_err(|_| "must be a time such as 2026-01-31T09:30:00Z")
    });
    let key = name.zip(scope).map(|(name, scope)| NewKey {
        name,
        scope,
        store,
        expires_at,
    });
    // Whatever is not there was noted as a fault.
    checked(key, faults)?.ok_or_else(|| Problem::new(code_of(&[]), "the body is incomplete"))
}

/// Whether keys of the settings act under the name where they have no other.
fn is_reserved(name: &Principal) -> bool {
    Scope::ALL
        .iter()
        .any(|scope| scope.as_str() == name.as_str())
}

/// Reads for how many seconds the secret before still counts; an empty body says nothing.
///
/// # Errors
/// 400 with every fault.
pub fn parse_rotation(body: &[u8]) -> Result<i64, Problem> {
    let members = object(or_empty(body))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["overlapSeconds"]);
    let seconds = fields.integer("overlapSeconds", 0, limits::API_KEY_OVERLAP_SECONDS);
    checked(
        seconds.unwrap_or(limits::API_KEY_OVERLAP_SECONDS_DEFAULT),
        faults,
    )
}

/// A key to be made.
pub(super) fn request_example() -> Value {
    json!({"name": "till-harbour-street", "scope": "store", "storeId": "store-s1"})
}

/// A key as it is shown.
pub(super) fn example() -> Value {
    json!({
        "keyId": "key-01kf0k5m10hhhhhhhhhhhhhhhh", "name": "till-harbour-street", "scope": "store",
        "storeId": "store-s1", "state": "active", "createdAt": "2026-01-15T10:30:00.123Z",
        "createdBy": "first-admin", "lastUsedAt": "2026-01-15T10:31:12.004Z",
        "secrets": [{
            "beginsWith": "hfk_01kf0k5m10hhhhhhhhhhhhhhhh_4f1a", "createdAt": "2026-01-15T10:30:00.123Z",
        }],
    })
}

/// A key whose secret is shown.
pub(super) fn new_example() -> Value {
    let mut example = example();
    if let Some(members) = example.as_object_mut() {
        members.remove("lastUsedAt");
        let secret = format!("hfk_01kf0k5m10hhhhhhhhhhhhhhhh_{}", "4f1a".repeat(16));
        members.insert("secret".to_owned(), secret.into());
    }
    example
}
