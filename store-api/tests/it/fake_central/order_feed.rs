//! Its order feed, as a stream of one store's orders. It has one only after [`FakeCentral::take_orders`].

use futures_util::{StreamExt as _, stream};

use super::*;

/// What there is to hear of orders.
#[derive(Debug, Default)]
pub(super) struct OrderFeed {
    /// Whose, and the text.
    events: Vec<(String, String)>,
    /// The lives of the log, each with the event it began at.
    pub(super) lives: Vec<(u64, usize)>,
    /// So many who come back are told that their place is none.
    pub(super) lost: u32,
    /// How often somebody has begun to listen.
    pub(super) listened: u64,
}

impl FakeCentral {
    /// From now on there is an order feed.
    pub(crate) fn take_orders(&self) {
        let mut world = self.world.lock();
        let lives = vec![(world.generations.last().unwrap().0, 0)];
        world.orders = Some(OrderFeed {
            lives,
            ..OrderFeed::default()
        });
    }

    /// Something becomes of an order of `store`.
    pub(crate) fn order_event(&self, store: &str, order: &str) {
        let mut world = self.world.lock();
        let feed = world.orders.as_mut().unwrap();
        let offset = feed.events.len();
        let text = json!({"offset": offset, "orderId": order, "data": {"storeId": store}});
        feed.events.push((store.to_owned(), text.to_string()));
        drop(world);
        self.head.send_modify(|_| {});
    }

    /// How often somebody has begun to listen.
    pub(crate) fn order_listeners(&self) -> u64 {
        let world = self.world.lock();
        world.orders.as_ref().map_or(0, |feed| feed.listened)
    }

    /// The next `count` who come back are told that they are lost.
    pub(crate) fn lose_order_readers(&self, count: u32) {
        self.world.lock().orders.as_mut().unwrap().lost = count;
    }
}

impl OrderFeed {
    /// Another life of the log begins.
    pub(super) fn begin(&mut self, life: u64) {
        self.lives.push((life, self.events.len()));
    }

    /// Whether a reader of the life `asked` that wants `offset` has followed this log.
    fn follows(&self, asked: &str, offset: usize) -> bool {
        let mut lives = self.lives.iter();
        let known = lives.any(|(life, _)| format!("{life:016x}") == asked);
        known && lives.next().is_none_or(|(_, start)| offset <= *start)
    }
}

/// What it says of itself; another currency than stores take by themselves.
pub(super) async fn info(State(central): State<FakeCentral>) -> Json<Value> {
    let world = central.world.lock();
    let mut info = json!({
        "service": "central-api", "currency": "EUR",
        "gen": format!("{:016x}", world.generations.last().unwrap().0),
        "retention": {"idempotencyHours": 24, "idempotencyKeys": 1_000, "eventHours": 48},
    });
    if let Some(feed) = &world.orders {
        info["orderHeadOffset"] = feed.events.len().into();
    }
    drop(world);
    Json(info)
}

pub(super) async fn order_events(
    State(central): State<FakeCentral>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (store, offset) = (
        query["storeId"].clone(),
        query["offset"].parse::<usize>().unwrap(),
    );
    let head = central.head.subscribe();
    let life = {
        let mut world = central.world.lock();
        let Some(feed) = world.orders.as_mut() else {
            return problem(404, "not_found");
        };
        if take(&mut feed.lost) || !feed.follows(&query["gen"], offset) {
            return problem(409, "log_diverged");
        }
        feed.listened += 1;
        feed.lives.last().unwrap().0
    };
    let events = stream::unfold((offset, head), move |(mut offset, mut head)| {
        let (central, store) = (central.clone(), store.clone());
        async move {
            loop {
                head.mark_unchanged();
                let next = {
                    let world = central.world.lock();
                    world.orders.as_ref().unwrap().events.get(offset).cloned()
                };
                match next {
                    Some((of, text)) if of == store => {
                        let told = format!("id: {offset}\ndata: {text}\n\n");
                        return Some((Ok::<_, std::io::Error>(told), (offset + 1, head)));
                    }
                    Some(_) => offset += 1,
                    None => head.changed().await.ok()?,
                }
            }
        }
    });
    let head = [
        ("content-type", "text/event-stream".to_owned()),
        ("log-gen", format!("{life:016x}")),
    ];
    (head, Body::from_stream(events.boxed())).into_response()
}
