//! What it answers to a follower, and how it spoils that.

use super::*;

pub(super) async fn events(
    State(central): State<FakeCentral>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let takes_zstd = headers
        .get("accept-encoding")
        .is_some_and(|codings| codings == "zstd");
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let offset = number("offset").unwrap();
    let limit = number("limit").unwrap_or(100);
    let wait = Duration::from_secs(number("wait").unwrap_or(0));
    central.world.lock().polls += 1;
    let mut head = central.head.subscribe();
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        head.mark_unchanged();
        {
            let mut world = central.world.lock();
            if world.spoilt.break_long_polls && !wait.is_zero() {
                return StatusCode::GATEWAY_TIMEOUT.into_response();
            }
            if take(&mut world.spoilt.garbage) {
                return "<html>It works!</html>".into_response();
            }
            if let Some((count, body)) = &mut world.spoilt.replay
                && take(count)
            {
                return body.clone().into_response();
            }
            if let Some(asked) = query.get("gen")
                && !world.follows(asked, offset)
            {
                return problem(409, "log_diverged");
            }
            if offset < world.oldest {
                return problem(410, "offset_gone");
            }
            let at_head = offset == world.events.len() as u64;
            if offset > world.events.len() as u64 {
                return problem(409, "offset_ahead");
            }
            let due = !at_head
                || tokio::time::Instant::now() >= deadline
                || world.spoilt.wrong_digest > 0;
            if due && !world.spoilt.hang_feed {
                let limit = usize::try_from(limit).unwrap();
                return spoil(&mut world, offset, limit, &query, takes_zstd);
            }
        }
        tokio::select! {
            _ = head.changed() => {}
            () = tokio::time::sleep_until(deadline), if !wait.is_zero() && tokio::time::Instant::now() < deadline => {}
        }
    }
}

fn spoil(
    world: &mut World,
    offset: u64,
    limit: usize,
    query: &HashMap<String, String>,
    takes_zstd: bool,
) -> Response {
    let mut body = world.page(offset, limit);
    if take(&mut world.spoilt.skip_one) {
        body = world.page(offset + 1, limit);
    }
    if take(&mut world.spoilt.wrong_digest) {
        let text = String::from_utf8_lossy(&body)
            .replace(r#""digest":""#, r#""digest":"0123456789abcdef","was":""#);
        body = Bytes::from(text);
    }
    if take(&mut world.spoilt.truncate) {
        let part = body.slice(..body.len() / 2);
        let parts = futures_util::stream::iter([Ok(part), Err(std::io::Error::other("cut"))]);
        return Body::from_stream(parts).into_response();
    }
    let echoed = query
        .get("cursor")
        .and_then(|text| text.parse::<u64>().ok());
    let cursor = echoed.map_or(1000, |echoed| echoed + 1);
    let mut coding = "identity";
    if world.spoilt.packed_feed && takes_zstd {
        body = zstd::encode_all(&*body, 1).unwrap().into();
        world.packed_answers += 1;
        coding = "zstd";
    }
    if world.spoilt.unknown_coding {
        coding = "br";
    }
    (
        [
            ("content-type", "application/json"),
            ("log-cursor", &cursor.to_string()),
            ("content-encoding", coding),
        ],
        body,
    )
        .into_response()
}

pub(super) async fn snapshot(State(central): State<FakeCentral>) -> Response {
    if central.world.lock().spoilt.no_snapshot {
        return problem(404, "not_found");
    }
    let (name, hangs) = {
        let mut world = central.world.lock();
        world.snapshots += 1;
        let newest = world.generations.last().unwrap().0;
        (
            format!("{newest:016x}-{}", world.events.len()),
            world.spoilt.hang_feed,
        )
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    let location = format!("/v1/inventory/snapshots/{name}");
    (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
}

pub(super) async fn one_snapshot(
    State(central): State<FakeCentral>,
    Path(name): Path<String>,
) -> Response {
    let mut world = central.world.lock();
    let (generation, offset) = name.split_once('-').unwrap();
    let mut rows: Vec<_> = world.state.entries().filter(|entry| entry.live).collect();
    rows.sort_by(|a, b| a.product.id.cmp(&b.product.id));
    let mut text = format!(
        r#"{{"gen":"{generation}","offset":{offset},"count":{}}}"#,
        rows.len()
    )
    .into_bytes();
    text.push(b'\n');
    let (count, digest) = (rows.len(), world.state.digest());
    let mut encoder = Encoder::new();
    for row in &rows {
        encoder.product(&mut text, &row.product);
        text.push(b'\n');
    }
    let crc = crc32c::crc32c(&text);
    if take(&mut world.spoilt.short_snapshot) {
        text.truncate(text.len() - 10);
        return Bytes::from(text).into_response();
    }
    text.extend_from_slice(
        format!("{{\"count\":{count},\"crc\":\"{crc:08x}\",\"digest\":\"{digest:016x}\"}}\n")
            .as_bytes(),
    );
    Bytes::from(text).into_response()
}
