//! `POST /v1/inventory/updates`: movements of stock, one or many.
//!
//! This is the path that a till waits for, so the answer of a single movement is written by hand.
//! Its shape, and that of a batch, is seed 003's with additions.

use std::cell::RefCell;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use shared::domain::ids::{IdempotencyKey, StoreId};
use shared::domain::inventory::{Atomicity, Command, Event, ItemResult, Move, Rejection};
use shared::domain::origin::Origin;
use shared::service::auth::{Caller, Scope};
use shared::service::compression::compressed;
use shared::service::encoding::Coding;
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::precondition::if_match;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Problem, ProblemCode};
use shared::wire::product::{Encoder, integer, string};

use super::decision::{bounded, decide, mark, origin, request};
use super::refusal;
use super::schema::{UpdateAnswer, UpdateRequest};
use super::update_body::{LineFault, LineResult, UpdateKind, parse};
use super::{AppState, examples};
use crate::ledger::{Answer, Decided, Outcome, Reply, SubmitError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

shared::problem_set! {
    /// What a movement can be refused for.
    UpdateProblems = InvalidRequest | MissingProductId | InvalidDelta | IdempotencyKeyRequired
        | IdempotencyKeyReused | ProductNotFound | InsufficientInventory | VersionConflict
        | PreconditionFailed | StockOutOfRange | BatchRefused | Overloaded | ShuttingDown | StorageFull
        | Timeout;
}

/// Applies movements of stock.
///
/// # Errors
/// Every refusal of the contract, as a problem with seed 003's members beside its own.
#[utoipa::path(
    post, path = "/v1/inventory/updates", tag = "inventory", operation_id = "updateInventory", security(("apiKey" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The version that one movement expects, in quotes"),
    ),
    request_body(content = UpdateRequest, example = json!(examples::sale())),
    responses((status = 200, description = "What the movements led to.", body = UpdateAnswer, example = json!(examples::sold())), UpdateProblems)
)]
pub async fn post_updates(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let header = header_key(request.headers());
    let if_match = if_match(request.headers());
    let coding = Coding::accepted(request.headers());
    let body = read_body(request).await?;
    let body = parse(&body, &header, &if_match)?;
    let conditional = matches!(if_match, Ok(Some(_)));
    let store = caller.check_store(body.store.as_ref())?;
    let ask = Ask {
        state: &state,
        caller: &caller,
        context: &context,
        store,
    };
    let batch = match body.kind {
        // The answer to a till is short.
        UpdateKind::Single { line, key } => return ask.single(line, key, conditional).await,
        UpdateKind::PerItem(lines) => ask.per_item(lines).await,
        UpdateKind::All { lines, key } => ask.all(lines, key).await,
    };
    Ok(compressed(coding, batch?).await)
}

/// One request's way through the ledger.
struct Ask<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    context: &'a RequestContext,
    store: Option<StoreId>,
}

impl Ask<'_> {
    fn origin(&self, key: IdempotencyKey) -> Origin {
        origin(self.caller, self.context, self.store.as_ref(), Some(key))
    }

    async fn single(
        &self,
        line: Move,
        key: IdempotencyKey,
        conditional: bool,
    ) -> Result<Response, Problem> {
        let delta = line.delta;
        let origin = self.origin(key.clone());
        let (decided, replayed) = decide(self.state, origin, alone(line)).await?;
        let answer = match decided.decision.results.first() {
            Some(ItemResult::Refused(rejection)) => {
                let mut problem = refused(rejection);
                if conditional && problem.code == ProblemCode::VersionConflict {
                    problem.code = ProblemCode::PreconditionFailed;
                }
                problem.into_response()
            }
            _ => applied(&decided, delta, &key)?,
        };
        Ok(mark(answer, replayed))
    }

    async fn per_item(&self, lines: Vec<LineResult>) -> Result<Response, Problem> {
        let mut requests = Vec::with_capacity(lines.len());
        let mut ids = Vec::with_capacity(lines.len());
        for line in lines {
            ids.push(line.map(|(line, key)| {
                let id = line.product.clone();
                requests.push(request(self.origin(key), alone(line)));
                id
            }));
        }
        let Reply { requests, answers } = bounded(self.state.ledger.submit(requests)).await?;
        let origins = requests.iter().map(|request| &request.origin);
        let mut answers = answers.into_iter().zip(origins);
        let mut rows = Rows::default();
        for id in ids {
            match id {
                Err(fault) => rows.fault(&fault),
                Ok(id) => {
                    let (answer, origin) = answers
                        .next()
                        .ok_or_else(|| refusal::unanswered(SubmitError::Unknown))?;
                    match self.resolve(answer, origin).await? {
                        Outcome::Decided { decided, .. } => rows.decided(&decided),
                        Outcome::KeyReused => rows.key_reused(id.as_str()),
                    }
                }
            }
        }
        Ok(rows.into_response(self.store.as_ref(), StatusCode::OK))
    }

    async fn resolve(&self, answer: Answer, origin: &Origin) -> Result<Outcome, Problem> {
        bounded(self.state.ledger.outcome(answer, origin)).await
    }

    async fn all(&self, lines: Vec<Move>, key: IdempotencyKey) -> Result<Response, Problem> {
        let command = Command::Move {
            lines,
            atomicity: Atomicity::All,
        };
        let (decided, replayed) = decide(self.state, self.origin(key), command).await?;
        let mut rows = Rows::default();
        rows.decided(&decided);
        let reasons = refusal::reasons(&decided.decision).map(|(_, reason)| refusal::code(reason));
        let codes: Vec<_> = reasons.collect();
        let answer = match codes.as_slice() {
            [] => rows.into_response(self.store.as_ref(), StatusCode::OK),
            codes => {
                // That nothing was applied is a conflict, whatever the lines were refused for.
                let is_conflict = |code: &&ProblemCode| code.status() == StatusCode::CONFLICT;
                let code = codes.iter().find(is_conflict).copied();
                let mut problem = Problem::new(
                    code.unwrap_or(ProblemCode::BatchRefused),
                    "nothing was applied: at least one line was refused",
                );
                let decision = &decided.decision;
                problem.details = refusal::details(decision, |at| format!("updates[{at}]"));
                if let Value::Object(members) = rows.into_body(self.store.as_ref()) {
                    problem.extra = members;
                }
                problem.into_response()
            }
        };
        Ok(mark(answer, replayed))
    }
}

/// A movement that stands for itself.
fn alone(line: Move) -> Command {
    Command::Move {
        lines: vec![line],
        atomicity: Atomicity::PerItem,
    }
}

/// The answer to an applied movement.
fn applied(decided: &Decided, delta: i64, key: &IdempotencyKey) -> Result<Response, Problem> {
    let event = decided.decision.events.first();
    let event = event.ok_or_else(|| Problem::new(ProblemCode::Internal, "nothing was decided"))?;
    let mut body = Vec::with_capacity(224);
    applied_members(&mut body, event);
    body.extend_from_slice(b",\"delta\":");
    integer(&mut body, delta);
    body.extend_from_slice(b",\"idempotencyKey\":");
    string(&mut body, key.as_str());
    body.extend_from_slice(b",\"offset\":");
    integer(&mut body, decided.first.inventory);
    body.push(b'}');
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

/// Opens an object with what an applied movement led to.
fn applied_members(body: &mut Vec<u8>, event: &Event) {
    body.extend_from_slice(b"{\"productId\":");
    string(body, event.product.id.as_str());
    body.extend_from_slice(b",\"newQuantity\":");
    integer(body, event.product.available());
    body.extend_from_slice(b",\"newVersion\":");
    integer(body, event.product.version);
    body.extend_from_slice(b",\"applied\":true,\"lastUpdated\":");
    // Answers of one frame bear one time, which is formatted once a thread.
    ENCODER.with_borrow_mut(|encoder| encoder.timestamp(body, event.product.last_updated));
}

/// A refused single movement: the problem, with seed 003's members.
fn refused(rejection: &Rejection) -> Problem {
    let (quantity, version, updated) = figures(rejection);
    refusal::problem(rejection)
        .with("applied", false)
        .with("newQuantity", quantity)
        .with("newVersion", version)
        .with("lastUpdated", updated)
        .with("errorType", refusal::code(rejection).as_str())
        .with("errorMessage", rejection.to_string())
}

/// Quantity, version and time of the product that was refused, as far as the refusal knows.
fn figures(rejection: &Rejection) -> (i64, u64, String) {
    match rejection {
        Rejection::VersionConflict {
            available,
            version,
            last_updated,
            ..
        }
        | Rejection::InsufficientInventory {
            available,
            version,
            last_updated,
            ..
        }
        | Rejection::StockOutOfRange {
            available,
            version,
            last_updated,
            ..
        } => (*available, *version, last_updated.to_string()),
        _ => (0, 0, String::new()),
    }
}

/// The rows of a batch's answer.
#[derive(Default)]
struct Rows {
    rows: Vec<Value>,
    succeeded: usize,
}

impl Rows {
    fn decided(&mut self, decided: &Decided) {
        for result in &decided.decision.results {
            match result {
                ItemResult::Applied(index) => {
                    if let Some(event) = decided.decision.events.get(*index) {
                        self.succeeded += 1;
                        self.rows.push(json!({
                            "productId": event.product.id,
                            "newQuantity": event.product.available(),
                            "newVersion": event.product.version,
                            "applied": true,
                            "lastUpdated": event.product.last_updated,
                        }));
                    }
                }
                ItemResult::Unchanged => {}
                ItemResult::Refused(rejection) => self.refused(rejection),
            }
        }
    }

    /// Seed 003 gives the current figures of a refused line only for a version conflict.
    fn refused(&mut self, rejection: &Rejection) {
        let known = matches!(rejection, Rejection::VersionConflict { .. });
        let (quantity, version, updated) = if known {
            figures(rejection)
        } else {
            (0, 0, String::new())
        };
        self.rows.push(json!({
            "productId": rejection.product_id(),
            "newQuantity": quantity,
            "newVersion": version,
            "applied": false,
            "lastUpdated": updated,
            "errorType": refusal::code(rejection).as_str(),
            "errorMessage": rejection.to_string(),
        }));
    }

    fn fault(&mut self, fault: &LineFault) {
        self.rows.push(fault_row(fault));
    }

    fn key_reused(&mut self, product_id: &str) {
        let problem = refusal::key_reused();
        let row = error_row(product_id, problem.code.as_str(), &problem.detail);
        self.rows.push(Value::Object(row));
    }

    fn into_body(self, store: Option<&StoreId>) -> Value {
        let total = self.rows.len();
        let failed = total - self.succeeded;
        json!({
            "results": self.rows,
            "summary": {"total": total, "succeeded": self.succeeded, "failed": failed},
            "storeId": store.map_or("", StoreId::as_str),
            "totalCount": total,
            "successCount": self.succeeded,
            "failureCount": failed,
        })
    }

    fn into_response(self, store: Option<&StoreId>, status: StatusCode) -> Response {
        let body = self.into_body(store).to_string();
        (status, [(CONTENT_TYPE, JSON)], body).into_response()
    }
}

/// The row of a line that breaks rules. Seed 003 has words for the first; `details` has them all.
fn fault_row(fault: &LineFault) -> Value {
    let mut row = error_row(&fault.product_id, fault.error_type, &fault.message);
    row.insert("details".to_owned(), json!(fault.details));
    Value::Object(row)
}

/// The row of a line that nothing was decided about.
fn error_row(product_id: &str, error_type: &str, message: &str) -> Map<String, Value> {
    let members = [
        ("productId", json!(product_id)),
        ("newQuantity", json!(0)),
        ("newVersion", json!(0)),
        ("applied", json!(false)),
        ("lastUpdated", json!("")),
        ("errorType", json!(error_type)),
        ("errorMessage", json!(message)),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    members.into_iter().collect()
}
