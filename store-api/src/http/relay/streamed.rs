//! The relay's feed as a stream of server-sent events, as central has it.
//!
//! A stream is of one copy. When another log takes this one's place, offsets mean other events, so
//! the stream ends; the reader comes back with what it has and is told where it stands.

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use shared::service::sse;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::sync::watch;

use super::{Ask, Place, beyond, located, place, read, replaced, write_provenance};
use crate::http::AppState;
use crate::http::state::not_synced_yet;
use crate::replica::live::{Stretch, Tip};

/// Answers with a stream, or says why there can be none.
///
/// # Errors
/// As for a poll.
pub(super) async fn answer(state: AppState, ask: Ask) -> Result<Response, Problem> {
    let mut watch = state.live.watch();
    let tip = (*watch.borrow_and_update()).ok_or_else(not_synced_yet)?;
    let first = match place(&state.live.generations(), tip, ask) {
        Place::Elsewhere => return Err(located(&state, tip, ProblemCode::LogDiverged)),
        Place::Beyond => return Err(beyond(&state, ask, tip)),
        Place::Here => read(&state, ask, tip).await?,
    };
    let first = match first {
        Stretch::Events(events) => events,
        Stretch::AtHead => Vec::new(),
        Stretch::Gone(_) => return Err(located(&state, tip, ProblemCode::OffsetGone)),
        Stretch::Ahead | Stretch::Replaced => return Err(replaced(&state, ask, tip)),
    };
    let mut provenance = HeaderMap::new();
    write_provenance(&state, &mut provenance);
    let reader = Streamed {
        state,
        watch,
        ask,
        copy: tip.copy,
    };
    let mut response = sse::stream(reader.runs(first), std::future::pending());
    response.headers_mut().extend(provenance);
    Ok(response)
}

/// One reader of the stream.
struct Streamed {
    state: AppState,
    watch: watch::Receiver<Option<Tip>>,
    /// What it asks for next.
    ask: Ask,
    /// The copy that its offsets count in.
    copy: u64,
}

impl Streamed {
    fn runs(mut self, first: Vec<Bytes>) -> impl Stream<Item = Vec<Event>> {
        let first = self.run(&first);
        let later = stream::unfold(self, |mut reader| async {
            let events = reader.news().await?;
            Some((reader.run(&events), reader))
        });
        stream::iter([first]).chain(later)
    }

    fn run(&mut self, events: &[Bytes]) -> Vec<Event> {
        let mut run = Vec::with_capacity(events.len());
        for bytes in events {
            let event = Event::default().id(self.ask.offset.to_string());
            run.push(event.data(String::from_utf8_lossy(bytes)));
            self.ask.offset += 1;
        }
        run
    }

    /// The next events; `None` when this stream cannot go on. The reader comes back then and is
    /// told why: another log has taken this one's place, or the journal cannot be read.
    async fn news(&mut self) -> Option<Vec<Bytes>> {
        loop {
            let tip = (*self.watch.borrow_and_update())?;
            if tip.copy != self.copy {
                return None;
            }
            match read(&self.state, self.ask, tip).await.ok()? {
                Stretch::Events(events) => return Some(events),
                Stretch::AtHead => {}
                Stretch::Ahead | Stretch::Gone(_) | Stretch::Replaced => return None,
            }
            tokio::select! {
                changed = self.watch.changed() => changed.ok()?,
                () = self.state.shutdown.cancelled() => return None,
            }
        }
    }
}
