//! `POST /v1/inventory/counts`: what somebody counted on the shelf.
//!
//! A count is a fact and is never refused for what is promised. It says what was there at
//! `basisOffset`, the offset of the list that the counter walked with; what was sold between then
//! and now is sold all the same, because the count becomes a difference to the figure of then, which
//! the log still knows. What it does not know any more is for the decision to refuse, because whoever
//! repeats a count that was recorded gets its answer all the same.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::Command;
use shared::domain::inventory::command::{Basis, CountLine};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::KeyHeader;
use shared::service::idempotency::header_key;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::unique::object;

use super::decision::{decide, mark, origin};
use super::fields::{Fields, beside, checked, code_of, required_key};
use super::history::dropped;
use super::refusal;
use super::schema::{CountAnswer, CountRequest};
use super::{AppState, examples};
use crate::ledger::Decided;
use crate::ledger::history::{Moment, Stood, as_it_stood};

/// A parsed body.
struct Count {
    lines: Vec<Line>,
    counted_by: Arc<str>,
    reference: Option<Arc<str>>,
    key: IdempotencyKey,
}

/// One counted product.
struct Line {
    product: ProductId,
    counted: i64,
    basis: Option<u64>,
}

shared::problem_set! {
    /// What a count can be refused for.
    CountProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductNotFound
        | StockOutOfRange | OffsetGone | Overloaded | ShuttingDown | StorageFull | Timeout;
}

/// Records a count.
///
/// # Errors
/// 400 with every fault of the body, 404 with every product that is not there, 410 if the log no
/// longer goes back to a basis.
#[utoipa::path(
    post, path = "/v1/inventory/counts", tag = "inventory", operation_id = "countInventory", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = CountRequest, example = json!(examples::count())),
    responses((status = 200, description = "It is recorded.", body = CountAnswer, example = json!(examples::counted())), CountProblems)
)]
pub async fn post_counts(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let header = header_key(request.headers());
    let body = read_body(request).await?;
    let head = state.ledger.published().head().offset;
    let count = parse(&body, header, head)?;
    let counted: Vec<i64> = count.lines.iter().map(|line| line.counted).collect();
    let (lines, unknown) = expected(&state, count.lines).await?;
    let command = Command::Count {
        lines,
        counted_by: count.counted_by,
        reference: count.reference,
    };
    let origin = origin(&caller, &context, caller.store(), Some(count.key));
    let (decided, replayed) = decide(&state, origin, command).await?;
    let answer = match refused(&decided) {
        Some(problem) if problem.code == ProblemCode::OffsetGone => {
            return Err(unknown.unwrap_or(problem));
        }
        Some(problem) => problem.into_response(),
        None => applied(&decided, &counted).into_response(),
    };
    Ok(mark(answer, replayed))
}

fn parse(body: &[u8], header: KeyHeader, head: u64) -> Result<Count, Problem> {
    let members = object(body).map_err(|problem| beside(problem, [header.as_ref().err()]))?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["lines", "countedBy", "reference", "idempotencyKey"]);
    let key = required_key(header, &mut fields);
    let counted_by = fields.text("countedBy", limits::NOTE_BYTES);
    let counted_by = fields.required("countedBy", counted_by.filter(|text| !text.is_empty()));
    let reference = fields.text("reference", limits::NOTE_BYTES);
    let objects = fields.objects("lines", limits::BATCH_LINES);
    if objects.is_empty() && !fields.faulty("lines") {
        fields.fault("lines", "must hold at least one line");
    }
    let mut lines = Vec::with_capacity(objects.len());
    let mut seen = HashSet::new();
    for (index, members) in objects {
        let mut fields = Fields::new(members, format!("lines[{index}]."), &mut faults);
        fields.only(&["productId", "counted", "basisOffset"]);
        let product = fields.product_id("productId");
        let counted = fields.integer("counted", 0, limits::STOCK_UNITS);
        let counted = fields.required("counted", counted);
        let head = i64::try_from(head).unwrap_or(i64::MAX);
        let basis = fields.integer("basisOffset", 0, head);
        if let (Some(product), Some(counted)) = (product, counted) {
            // Two counts of one shelf cannot both be right.
            if !seen.insert(product.clone()) {
                fields.fault("productId", "is counted by another line too");
            }
            lines.push(Line {
                product,
                counted,
                basis: basis.map(i64::unsigned_abs),
            });
        }
    }
    let (Some(key), true) = (key, faults.is_empty()) else {
        return Err(Problem::with_details(code_of(&faults), faults));
    };
    Ok(Count {
        lines,
        counted_by: counted_by.unwrap_or_default().into(),
        reference: reference.map(Arc::from),
        key,
    })
}

/// Looks up what was there at each line's basis. Also gives the problem of those of which the log
/// says it no more, should the count be refused for it.
async fn expected(
    state: &AppState,
    lines: Vec<Line>,
) -> Result<(Vec<CountLine>, Option<Problem>), Problem> {
    if lines.iter().all(|line| line.basis.is_none()) {
        let now = lines.into_iter().map(|line| CountLine {
            product: line.product,
            counted: line.counted,
            basis: Basis::Now,
        });
        return Ok((now.collect(), None));
    }
    let found = state.read_log(move |published| {
        let stood = |line: Line| {
            let then = match line.basis {
                None => None,
                Some(basis) => {
                    let moment = Moment::Offset(basis);
                    let budget = limits::AS_OF_RECORDS;
                    Some(as_it_stood(published, &line.product, moment, budget)?)
                }
            };
            Ok((line, then))
        };
        lines.into_iter().map(stood).collect::<Result<Vec<_>, _>>()
    });
    let mut faults = Vec::new();
    let mut unknown = None;
    let mut lines = Vec::new();
    for (index, (line, stood)) in found.await?.into_iter().enumerate() {
        let on_hand = match stood {
            Some(Stood::Here { product, live, .. }) => {
                Some(if live { product.stock.on_hand } else { 0 })
            }
            Some(Stood::NotYet) => Some(0),
            None => None,
            Some(Stood::Dropped) => {
                unknown = Some(dropped(state));
                None
            }
            Some(Stood::TooFarBack) => {
                faults.push(Detail::new(
                    format!("lines[{index}].basisOffset"),
                    format!(
                        "more than {} changes of this product have happened since",
                        limits::AS_OF_RECORDS
                    ),
                ));
                None
            }
        };
        lines.push(CountLine {
            product: line.product,
            counted: line.counted,
            basis: line
                .basis
                .map_or(Basis::Now, |offset| Basis::Offset { offset, on_hand }),
        });
    }
    Ok((lines, unknown.or_else(|| checked((), faults).err())))
}

fn applied(decided: &Decided, counted: &[i64]) -> Json<serde_json::Value> {
    let events = decided.decision.events.iter().zip(counted);
    let lines: Vec<_> = events
        .map(|(event, counted)| {
            let delta = event.movement.delta.unwrap_or(0);
            json!({
                "productId": event.product.id,
                "expected": counted - delta,
                "counted": counted,
                "delta": delta,
                "newVersion": event.product.version,
                "onHand": event.product.stock.on_hand,
                "available": event.product.available(),
            })
        })
        .collect();
    Json(json!({"lines": lines, "offset": decided.first.inventory}))
}

/// The problem of a count that was refused: every line that is at fault, none that only went along.
fn refused(decided: &Decided) -> Option<Problem> {
    let details = refusal::details(&decided.decision, |at| format!("lines[{at}].productId"));
    let (_, first) = refusal::reasons(&decided.decision).next()?;
    let lines = refusal::so_many(details.len() as u64, "line");
    let sentence = format!("nothing was recorded: {lines} refused");
    let problem = Problem::new(refusal::code(first), sentence);
    let problem = Problem { details, ..problem };
    Some(problem)
}
