//! The upper bounds that a caller or an operator can meet, in one file.
//!
//! A queue, wait, body, list or retry without a bound is a defect. Each constant says why it has its
//! value. Bounds that an operator may move are settings whose defaults point here. What only tunes the
//! inside of one module stands there: the sizes of buffers, steps and caches of a few answers, how often
//! something is looked at, how many answers of a kind a store's follower believes.

use std::time::Duration;

/// Largest whole number that every JSON reader holds exactly: 2^53 - 1.
pub const EXACT_MAX: i64 = 9_007_199_254_740_991;
/// Longest id in bytes: long enough for a GS1 key or a URL-shaped SKU, short enough to index.
pub const ID_BYTES: usize = 128;
/// Longest idempotency key in bytes; the same rule as for ids.
pub const IDEMPOTENCY_KEY_BYTES: usize = 128;
/// Longest product name in bytes.
pub const NAME_BYTES: usize = 512;
/// Longest description in bytes: a paragraph, not a document. Keeps an event far below a frame.
pub const DESCRIPTION_BYTES: usize = 4_096;
/// Longest category, SKU or barcode in bytes.
pub const LABEL_BYTES: usize = 128;
/// Longest free-text note or reference on a movement, in bytes.
pub const NOTE_BYTES: usize = 512;

/// Largest change of stock in one line.
pub const DELTA_UNITS: i64 = 1_000_000_000;
/// Largest stock figure of one product; 10^12 is far below 2^53, so every client reads it exactly.
pub const STOCK_UNITS: i64 = 1_000_000_000_000;
/// Largest price in minor units (10^12: ten thousand million of the major unit).
pub const PRICE_MINOR: i64 = 1_000_000_000_000;

/// Most lines in one request.
pub const BATCH_LINES: usize = 1_000;
/// Largest decoded request body in bytes, except for imports, which are streamed.
pub const BODY_BYTES: usize = 1024 * 1024;
/// Members that are no fields of a call and are named one by one; more are only counted, so that an
/// answer does not grow with a body of nothing else.
pub const UNKNOWN_FIELDS_NAMED: usize = 100;
/// Longest row of an import in bytes.
pub const IMPORT_ROW_BYTES: usize = 64 * 1024;
/// Rows of an import that become one decision.
pub const IMPORT_CHUNK_ROWS: usize = 1_000;
/// Row faults that an import answers with; more are counted, not listed.
pub const IMPORT_ERRORS_LISTED: usize = 1_000;
/// Faults of one row that are kept: a row of nothing but unknown fields could have thousands.
pub const IMPORT_ROW_FAULTS: usize = 16;
/// Chunks of an import that are read ahead, and that may wait for the writer: enough to share a sync,
/// few enough that tills do not notice.
pub const IMPORT_CHUNKS_AHEAD: usize = 4;
/// How long a chunk of an import waits while the writer is busy, before it gets in line all the same.
pub const IMPORT_GIVES_WAY: Duration = Duration::from_secs(2);
/// Characters that an import's key leaves for the numbers of its chunks.
pub const IMPORT_KEY_SUFFIX_BYTES: usize = 12;
/// Rows of a file in which one bad row refuses all: one decision, about ten megabytes of log.
pub const IMPORT_ALL_ROWS: usize = 10_000;
/// Largest import in decoded bytes (a million products of a kilobyte).
pub const IMPORT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Time that units are held when none is asked for.
pub const RESERVATION_TTL_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Longest time that can be asked for at once: a day, as for goods put aside at the counter.
pub const RESERVATION_TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Longest time between the making of a hold and its end, however often it is extended.
pub const RESERVATION_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Holds that are active at the same time (about half a kilobyte each); past that: 503.
pub const RESERVATIONS_ACTIVE: usize = 1_000_000;
/// Resolved reservations that are remembered, so that a late repeat learns what became of it.
pub const RESERVATIONS_RESOLVED_KEPT: usize = 200_000;
/// Lines of holds that run out in one decision (up to 2 kB each in the log): a part of a frame only,
/// so that those who wait are decided in the same one.
pub const EXPIRED_LINES: usize = 200;
/// Longest sleep of the timer that ends holds: after the machine's clock was set, this long at most.
pub const TIMER_MAX: Duration = Duration::from_secs(1);
/// Calls to the payment provider that are under way at the same time.
pub const PAYMENT_CALLS: usize = 256;
/// How long whoever places an order waits to be told what becomes of it; past that: 504.
pub const ORDER_WAIT: Duration = Duration::from_secs(15);
/// Longest time for one call to the payment provider. Below [`ORDER_WAIT`], so that whoever places an
/// order at a provider that does not answer is told so (202) and not left without an answer.
pub const PAYMENT_TIMEOUT_MAX: Duration = Duration::from_secs(14);
const _: () = assert!(PAYMENT_TIMEOUT_MAX.as_millis() < ORDER_WAIT.as_millis());
/// How long a refund whose key is spent is looked for before it is asked for under another key.
///
/// Far longer than a call is under way here or there, so that what the failed call set going is seen by
/// then; short beside the days that a bank takes.
pub const REFUND_KEY_WAIT: Duration = Duration::from_secs(3_600);
const _: () = assert!(REFUND_KEY_WAIT.as_millis() > 100 * PAYMENT_TIMEOUT_MAX.as_millis());
/// Most pages of a payment's refunds that are read for one of them (a hundred refunds each).
pub const REFUND_PAGES: usize = 50;
/// Time after which an unclear answer of the payment provider's is written down a second time; each
/// further wait is twice as long.
pub const UNCLEAR_AGAIN: Duration = Duration::from_secs(60);
/// Waits between two looks at a refund that the provider has accepted and not yet given: it takes banks
/// days.
pub const REFUND_LOOK_FIRST: Duration = Duration::from_secs(30);
/// See [`REFUND_LOOK_FIRST`].
pub const REFUND_LOOK_MAX: Duration = Duration::from_secs(900);
/// Orders that have ended and are kept in memory (about a kilobyte each), where lists find them; older
/// ones are read from the log.
pub const ORDERS_ENDED_KEPT: usize = 1_000_000;
/// Orders of the log that are held in memory while they are indexed. Between two snapshots there are
/// far fewer.
pub const ORDERS_INDEXED_AT_ONCE: usize = 1_000_000;
/// Pages that watch an order through one store at the same time; each has a connection to central.
pub const ORDER_STREAMS: usize = 64;
/// Bytes of news of its orders that a store keeps for pages that come back: some thousand events.
pub const ORDER_NEWS_BYTES: usize = 4 * 1024 * 1024;
/// Longest event of an order that a store reads: an order of the most items, several times.
pub const ORDER_EVENT_BYTES: usize = 1024 * 1024;
const _: () = assert!(ORDER_EVENT_BYTES < ORDER_NEWS_BYTES);
/// Items of one order.
pub const ORDER_ITEMS: usize = 200;
/// Longest shipping address in bytes of JSON.
pub const ADDRESS_BYTES: usize = 2_048;

/// Page size when none is asked for.
pub const PAGE_DEFAULT: usize = 50;
/// Largest page by `offset`.
pub const PAGE_BY_OFFSET: usize = 200;
/// Largest page by `cursor`.
pub const PAGE_BY_CURSOR: usize = 1_000;
/// Longest cursor in characters: a name, an id and every filter, each at its own limit and half as
/// long again where regard to case is dropped, in base64.
pub const CURSOR_BYTES: usize = 3_072;
/// Search results that a catalogue keeps; at a million products one is at most 128 KiB.
pub const SEARCHES_KEPT: usize = 64;
/// Longest search text in bytes.
pub const QUERY_BYTES: usize = 256;

/// Events in one feed answer when no limit is asked for.
pub const FEED_LIMIT_DEFAULT: usize = 100;
/// Most events in one feed answer (soft: an atomic batch is never split).
pub const FEED_LIMIT_MAX: usize = 1_000;
/// Longest long poll.
pub const FEED_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a long poll may be held although there are a few events, when very many are waiting.
pub const FEED_GATHER: Duration = Duration::from_millis(200);
/// How long a reader that is ahead of the head waits before it is told.
pub const FEED_AHEAD_WAIT: Duration = Duration::from_secs(5);
/// Events that are passed over in a stream until its reader is told how far it has come.
pub const STREAM_UNTOLD_EVENTS: u64 = 1_000;
/// Events that a live page is led through; past that it loads its data anew, which is cheaper.
pub const LIVE_EVENTS_BEHIND: u64 = 10_000;
/// Bytes of recent events that central keeps encoded in memory.
pub const FEED_RING_BYTES: usize = 64 * 1024 * 1024;
/// Chunk ends whose digest central remembers: at a thousand frames a second, about a minute.
pub const DIGESTS_KEPT: usize = 65_536;

/// Stores whose reports central remembers; past that the one that was silent longest is forgotten.
pub const STORES_KNOWN: usize = 100_000;
/// Stores whose lag is served one by one to whoever scrapes, the first by id; the sums are of all.
pub const STORES_MEASURED: usize = 1_000;
/// Longest text in a store's report, in bytes.
pub const REPORT_TEXT_BYTES: usize = 64;
/// Milliseconds of silence after which a store counts as offline.
pub const STORE_SILENCE_MS: i64 = 30_000;

/// Time for a store's report to central, or its question what central is; the next one comes anyway.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a read or the answer to a write waits for a store's copy.
pub const VISIBLE_WAIT: Duration = Duration::from_secs(1);
/// How much longer than its wait a store's long poll may take.
pub const POLL_GRACE: Duration = Duration::from_secs(15);
/// Longest wait of a store between two questions to a central that does not answer.
pub const FOLLOW_AGAIN_MAX: Duration = Duration::from_secs(5);
/// Largest answer of the feed that a store reads: a thousand events of the largest kind, and a batch
/// behind them.
pub const FEED_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Largest answer to a call that a store reads: a page of a thousand products of the largest kind.
pub const REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Time in which the next bytes of a snapshot that has begun to come must come: giving one up costs
/// all of it. A stream of events has a sign of life every ten seconds, so it is silent for less.
pub const ANSWER_STALL: Duration = Duration::from_secs(20);
/// Time to connect to central or to the payment provider, unless the time for a whole call is shorter.
pub const CONNECT: Duration = Duration::from_secs(2);
/// Time that a client of ours keeps an idle connection; below [`KEEP_ALIVE_IDLE`], so that it is the
/// client who closes.
pub const CLIENT_IDLE: Duration = Duration::from_secs(45);
const _: () = assert!(CLIENT_IDLE.as_millis() < KEEP_ALIVE_IDLE.as_millis());
/// Pieces of a snapshot between the network and the thread that parses it.
pub const SYNC_PIECES: usize = 64;
/// Events that are read from a log's beginning when there is no snapshot.
pub const REPLAY_EVENTS: u64 = 200_000;
/// Answers of the feed that may wait for a store's disk.
pub const KEEPER_QUEUE: usize = 256;
/// How long the follower waits for a place there before it counts the disk as broken.
pub const KEEPER_WAIT: Duration = Duration::from_secs(5);
/// Bytes of recent events that a store keeps in memory for those who follow it.
pub const RELAY_TAIL_BYTES: usize = 16 * 1024 * 1024;
/// Generations of the log that a store remembers; one per start of central.
pub const GENERATIONS_KEPT: usize = 1_000;
/// Generations that a store remembers as left behind, so that a stale cache does not bring it back.
pub const GENERATIONS_LEFT: usize = 64;
/// Age up to which an answer of the feed proves that a copy is live; a relay that has lost central gives
/// older ones.
pub const LIVE_AGE: Duration = Duration::from_secs(60);
/// Longest row or event that a store reads from a snapshot; a product's fields and a movement's texts
/// fit many times.
pub const ROW_BYTES: usize = 64 * 1024;
/// A store's journals are never merged before they have this many bytes: below, a merge costs more than
/// the replay it saves.
pub const CHECKPOINT_MIN_BYTES: u64 = 4 * 1024 * 1024;
/// They are merged at this size however large the snapshot is: it bounds replay and memory.
pub const CHECKPOINT_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Parts of an export or a snapshot that may wait for a slow reader.
pub const PARTS_AHEAD: usize = 4;

/// Catalogue snapshots that can be loaded: the newest, and the one before it for whoever was sent to it.
pub const EXPORTS_KEPT: usize = 2;
/// How long a frame that is durable may take to be published, before a snapshot is given up that waits
/// for it; it takes microseconds.
pub const PUBLISHED_WITHIN: Duration = Duration::from_secs(10);
/// Age up to which a catalogue snapshot is given to the next reader, however much has happened since.
pub const EXPORT_REUSE: Duration = Duration::from_secs(5);
/// Age past which it is not, however little has: far below the least retention, an hour, so that
/// nobody who is still loading one finds that the events behind it are gone.
pub const EXPORT_AGE_MAX: Duration = Duration::from_secs(600);
/// Events that a reader of a snapshot always may have to read behind it.
pub const EXPORT_EVENTS_BEHIND: u64 = 1_000;

/// Orders that one question about their figures looks at: some tens of milliseconds.
pub const ORDER_STATS_ORDERS: usize = 200_000;
/// Entries of a product's history in one answer when no limit is asked for.
pub const HISTORY_LIMIT_DEFAULT: i64 = 50;
/// Most entries of a product's history in one answer (soft: one decision is never split).
pub const HISTORY_LIMIT_MAX: i64 = 200;
/// Records that one page of history reads, so that a rare filter over a busy product ends.
pub const HISTORY_RECORDS: usize = 2_000;
/// Records that finding one earlier state of a product reads.
pub const AS_OF_RECORDS: usize = 20_000;
/// Records that finding the beginnings of one page of shortfalls reads.
pub const SHORTFALL_RECORDS: usize = 20_000;
/// Reservations that one product of a page of shortfalls lists; more are counted.
pub const SHORTFALL_RESERVATIONS: usize = 100;
/// Requests that read old parts of the log at the same time; they share the disk with the writer.
pub const LOG_READERS: usize = 4;
/// How long such a request waits for its turn.
pub const LOG_READER_WAIT: Duration = Duration::from_secs(2);

/// Commands that one journal frame may hold.
pub const FRAME_COMMANDS: usize = 4_096;
/// Bytes after which a frame takes no further command.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// Commands that may wait for the writer; past that: 503.
pub const WRITER_QUEUE: usize = 16_384;
/// How long a command may wait for the writer, or a frame for its sync, before the service says that
/// it is unhealthy. A disk that works answers a thousand times sooner.
pub const WRITER_HELD_UP: Duration = Duration::from_secs(10);
/// How long a caller waits for its decision. Far above any sync; past it, nobody knows.
pub const DECISION_WAIT: Duration = Duration::from_secs(10);
/// Longest time for which a compare-and-set that is stale waits to be told, while many others race
/// for the same product. With 64 of them each sells once in some 25 ms.
pub const CONFLICT_WAIT: Duration = Duration::from_millis(25);
/// How many may wait so; past that everybody is told at once.
pub const CONFLICTS_WAITING: usize = 4_096;
/// Bytes after which a journal segment is sealed.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of log after the last snapshot that make one due, unless the snapshot itself is larger: about
/// two seconds of a start.
pub const SNAPSHOT_LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Snapshots of the state that are kept: the newest, and the one before it for readers that are
/// loading it.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Bytes of log after which the orders in them are indexed: what the first question about an old order
/// reads at most.
pub const INDEX_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Findings of a verification that are listed; more are counted.
pub const FINDINGS_LISTED: usize = 100;
/// Remembered idempotency keys (about 64 bytes each in memory).
pub const IDEMPOTENCY_KEYS: usize = 2_000_000;

/// API keys that were created and are remembered, those that ended included; half a kilobyte each.
pub const API_KEYS: usize = 10_000;
/// Longest time in seconds for which a secret still counts after another took its place: a month.
pub const API_KEY_OVERLAP_SECONDS: i64 = 30 * 24 * 3_600;
/// That time where nobody asks for another: a day.
pub const API_KEY_OVERLAP_SECONDS_DEFAULT: i64 = 24 * 3_600;

/// Bytes up to which an answer is sent as it is: packing it would cost both ends more than it saves.
pub const PLAIN_BYTES: usize = 1_024;
/// Bytes up to which packing is done where the answer is made, in well under a millisecond; more
/// goes to a thread that may take its time.
pub const PACK_INLINE_BYTES: usize = 16 * 1024;
/// Packed stretches of the feed that are kept for others who ask the same; each is a tenth of at
/// most a thousand events, so all are some megabytes.
pub const PACKED_SLICES: usize = 32;

/// Free bytes on the disk of a data folder under which a service calls itself degraded: room for
/// some more segments, snapshots and checkpoints.
pub const DISK_FREE_LOW: u64 = 512 * 1024 * 1024;
/// Bytes of disk that are kept for finishing what was begun: outcomes of payments, holds that run out,
/// the last segment written anew at a start. With less, nothing new is taken.
pub const DISK_RESERVE: u64 = 256 * 1024 * 1024;
const _: () = assert!(DISK_RESERVE >= 2 * SEGMENT_BYTES && DISK_RESERVE < DISK_FREE_LOW);
/// How often it is looked how much room is left. At the highest rates measured the log grows by less
/// than a tenth of [`DISK_RESERVE`] in that time.
pub const DISK_LOOK: Duration = Duration::from_millis(250);

/// Requests at the same time on one connection of HTTP/2: more than a store with all its pages has.
pub const HTTP2_STREAMS: u32 = 256;
/// Time after which a silent HTTP/2 client is asked whether it is still there.
pub const HTTP2_PING: Duration = Duration::from_secs(20);

/// Time a client has to send its request head.
pub const HEADER_READ: Duration = Duration::from_secs(10);
/// Time a client has to send its request body.
pub const BODY_READ: Duration = Duration::from_secs(30);
/// Bytes of a body that its handler did not want and that are read all the same, so that the client
/// gets to read the answer.
pub const BODY_PASSED_OVER: usize = 8 * 1024 * 1024;
/// Time for that.
pub const BODY_PASSING_OVER: Duration = Duration::from_secs(1);
/// Bytes of one connection's read buffer, which also bounds the request head.
pub const HEADER_BYTES: usize = 16 * 1024;
/// New connections that may wait to be accepted: what arrives while the threads are busy for some
/// milliseconds, when every store comes back at once.
pub const LISTEN_BACKLOG: u32 = 4_096;
/// Open connections per listener.
pub const CONNECTIONS: u32 = 32_768;
/// Open connections on the port of the metrics.
pub const SCRAPERS: u32 = 16;
/// Time for a scrape that is under way when the service ends.
pub const SCRAPE_DRAIN: Duration = Duration::from_secs(1);
/// Time from the stop signal to the end, however busy.
pub const DRAIN: Duration = Duration::from_secs(20);
/// Longest time an answer may take to be written to a slow reader.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// Time that an idle connection stays open between requests.
///
/// Longer than the 90 s after which the usual clients (reqwest, Go) let go of a pooled connection:
/// were the server the first to close, a client would now and then send a request into a connection
/// that is just going away.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(120);
/// Time after which an answer is logged as slow, unless it waited on purpose.
pub const SLOW_REQUEST: Duration = Duration::from_secs(1);
/// Payments that the simulated provider remembers; half a kilobyte each.
pub const SIMULATED_PAYMENTS: usize = 100_000;
/// Largest charge in hundredths that the simulated provider approves: eight digits, as with others.
pub const SIMULATED_CHARGE_MINOR: i64 = 99_999_999;
/// Longest text of a payment provider's that is kept, in bytes: a sentence.
pub const PROVIDER_TEXT_BYTES: usize = 200;
/// Largest answer of a payment provider in bytes; the usual ones have some thousands.
pub const PAYMENT_ANSWER_BYTES: usize = 1024 * 1024;
/// Latest calls whose latencies a breaker's percentiles are told from.
pub const LATENCIES_KEPT: usize = 512;
/// Longest text of one fault in bytes; what a client sent is not echoed without bound.
pub const FAULT_TEXT_BYTES: usize = 200;
/// Rules of a plan of faults: more than anybody reads.
pub const FAULT_RULES: usize = 32;
/// Longest delay that is injected: beyond what any client of ours waits.
pub const FAULT_DELAY_MAX: Duration = Duration::from_secs(60);
/// Largest seed of a rule: what every JSON reader holds exactly.
pub const FAULT_SEED_MAX: i64 = (1 << 53) - 1;
/// Most calls of which a rule strikes one.
pub const FAULT_EVERY_MAX: u32 = 1_000_000;
/// Log lines that may wait for a slow log reader; past that they are dropped and counted.
pub const LOG_QUEUE_LINES: usize = 8_192;
/// How long the end of a process waits for the reader of its log.
pub const LOG_END: Duration = Duration::from_secs(2);
/// Callers that one rate limit remembers (about a hundred bytes each); past that, and if none of them
/// is at rest, whoever is new shares one place with all who are.
pub const RATE_LIMIT_SUBJECTS: usize = 32_768;
/// Callers that the status of the rate limits shows: more than anybody reads.
pub const RATE_LIMIT_CALLERS_SHOWN: usize = 100;
