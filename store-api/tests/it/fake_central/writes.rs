//! What it answers to a store that passes on movements and orders.

use futures_util::StreamExt as _;

use super::*;

pub(super) async fn updates(
    State(central): State<FakeCentral>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let header_key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().unwrap().to_owned());
    let answer = match body["updates"].as_array() {
        Some(lines) => {
            let results: Vec<_> = lines
                .iter()
                .map(|line| central.movement(line, None).1)
                .collect();
            let applied = results
                .iter()
                .filter(|one| one["applied"] == json!(true))
                .count();
            let total = results.len();
            let body = json!({
                "results": results, "storeId": body["storeId"], "totalCount": total,
                "successCount": applied, "failureCount": total - applied,
                "summary": {"total": total, "succeeded": applied, "failed": total - applied},
            });
            (StatusCode::OK, body, false)
        }
        None => {
            let (status, body, replayed) = central.movement_of_one(&body, header_key);
            (status, body, replayed)
        }
    };
    central.answered(answer)
}

/// Places an order: its units leave the shelf, and it is paid.
pub(super) async fn place(
    State(central): State<FakeCentral>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let payment = central.world.lock().spoilt.payment;
    tokio::time::sleep(payment).await;
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let known = central.world.lock().answers.get(&key).cloned();
    let answer = if let Some((status, order)) = known {
        (status, order, true)
    } else {
        let order = json!({"orderId": "ord-1", "storeId": body["storeId"], "status": "confirmed"});
        for (at, item) in body["items"].as_array().unwrap().iter().enumerate() {
            let delta = -item["quantity"].as_i64().unwrap();
            let line = json!({"productId": item["productId"], "delta": delta});
            central.movement(&line, Some(format!("{key}/{at}")));
        }
        let answer = (StatusCode::CREATED, order.clone());
        central.world.lock().answers.insert(key, answer);
        (StatusCode::CREATED, order, false)
    };
    let mut response = central.answered(answer);
    let headers = response.headers_mut();
    headers.insert("location", "/v1/orders/ord-1".parse().unwrap());
    headers.insert("log-head", central.offset().into());
    response
}

/// Says what it was asked.
pub(super) async fn echo(
    State(central): State<FakeCentral>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    if header("accept") == Some("text/event-stream") {
        let last = header("last-event-id").unwrap_or("none");
        let first = format!("id: 1\ndata: {uri} behind {last}\n\n");
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(first)]);
        let events = begun.chain(futures_util::stream::pending());
        let kind = [("content-type", "text/event-stream")];
        return (kind, Body::from_stream(events)).into_response();
    }
    Json(json!({
        "orderId": "ord-1", "asked": format!("{method} {uri}"), "key": header("idempotency-key"),
        "condition": header("if-match"), "body": String::from_utf8_lossy(&body),
    }))
    .into_response()
}

impl FakeCentral {
    /// The answer to a write that is not applied, if it is spoilt so.
    async fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if self.world.lock().spoilt.hang_updates {
            std::future::pending::<()>().await;
        }
        let (status, body) = {
            let mut world = self.world.lock();
            let (count, status, body) = world.spoilt.refuse_updates.as_mut()?;
            take(count).then_some((*status, *body))?
        };
        let status = StatusCode::from_u16(status).unwrap();
        let id = headers["x-request-id"].to_str().unwrap();
        let condition = headers.get("if-match");
        let condition = condition.map_or("none", |value| value.to_str().unwrap());
        let body = body.replace("$REQUEST", id);
        let body = body.replace("$CONDITION", &condition.replace('"', ""));
        let headers = [
            ("content-type", "application/problem+json"),
            ("x-request-id", id),
            ("retry-after", "1"),
        ];
        Some((status, headers, body).into_response())
    }

    /// The answer to a write, unless it is to be lost.
    fn answered(&self, (status, body, replayed): (StatusCode, Value, bool)) -> Response {
        if take(&mut self.world.lock().spoilt.lose_answers) {
            let broken =
                futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
            return Body::from_stream(broken).into_response();
        }
        let mut response = (status, Json(body)).into_response();
        if replayed {
            response
                .headers_mut()
                .insert("idempotent-replayed", "true".parse().unwrap());
        }
        response
    }

    fn movement_of_one(
        &self,
        line: &Value,
        header_key: Option<String>,
    ) -> (StatusCode, Value, bool) {
        let key = header_key
            .clone()
            .or_else(|| line["idempotencyKey"].as_str().map(str::to_owned));
        let known = key
            .as_ref()
            .is_some_and(|key| self.world.lock().answers.contains_key(key));
        let (status, body) = self.movement(line, header_key);
        (status, body, known)
    }

    fn movement(&self, line: &Value, header_key: Option<String>) -> (StatusCode, Value) {
        let key = header_key.or_else(|| line["idempotencyKey"].as_str().map(str::to_owned));
        let Some(key) = key else {
            let body = json!({"applied": false, "code": "idempotency_key_required", "errorType": "idempotency_key_required"});
            return (StatusCode::BAD_REQUEST, body);
        };
        let mut world = self.world.lock();
        if let Some((status, body)) = world.answers.get(&key) {
            return (*status, body.clone());
        }
        let id = line["productId"].as_str().unwrap_or_default();
        let delta = line["delta"].as_i64().unwrap_or(0);
        let answer = match world.state.get(id).cloned() {
            None => {
                let body = json!({"productId": id, "applied": false, "code": "product_not_found", "errorType": "product_not_found"});
                (StatusCode::NOT_FOUND, body)
            }
            Some(found) if found.available() + delta < 0 => {
                let body = json!({
                    "productId": id, "applied": false, "code": "insufficient_inventory",
                    "errorType": "insufficient_inventory", "newQuantity": found.available(), "newVersion": found.version,
                });
                (StatusCode::CONFLICT, body)
            }
            Some(mut found) => {
                found.stock.on_hand += delta;
                found.version += 1;
                let offset = world.events.len();
                let body = json!({
                    "productId": id, "newQuantity": found.available(), "newVersion": found.version,
                    "applied": true, "lastUpdated": found.last_updated.to_string(),
                    "delta": delta, "idempotencyKey": key, "offset": offset,
                });
                world.record(EventKind::Updated, found);
                world.applied_keys.push(key.clone());
                (StatusCode::OK, body)
            }
        };
        world.answers.insert(key, answer.clone());
        let head = world.events.len() as u64;
        drop(world);
        self.head.send_replace(head);
        answer
    }
}

pub(super) async fn heartbeat(
    State(central): State<FakeCentral>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    central.world.lock().heartbeats.insert(id, body);
    Json(json!({}))
}
