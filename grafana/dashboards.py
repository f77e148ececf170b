#!/usr/bin/env python3
"""Makes the dashboards of Grafana and the list of their panels from the tables below.

    grafana/dashboards.py            writes grafana/dashboards/*.json and grafana/README.md
    grafana/dashboards.py --check    writes nothing, and fails if a file is not what would be written

Why not by hand: six dashboards are more than four thousand lines of JSON, of which what differs, the
question, the expression and the unit, is a twentieth. A panel is a question somebody asks; its
description is that question. Panels look alike because nothing else can be said about them here.
Standard library only.

What must stay true: the first six panels of the overview are the six that say whether the chain is well; every
expression is evaluated against running services by a test (system-tests, `monitoring`).
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# A window that is at least four scrapes long, which Grafana fills in.
W = "[$__rate_interval]"
GREEN, AMBER, RED = "green", "orange", "red"


def panel(title, question, *queries, unit="short", kind="timeseries", width=8, steps=None):
    """One panel. `queries` are (expression, legend); `steps` are (from which value on, colour)."""
    return {"title": title, "question": question, "queries": queries, "unit": unit, "kind": kind,
            "width": width, "steps": steps}


def stat(title, question, *queries, unit="short", bad_from=None, width=4, colours=None):
    """One number; red from `bad_from` on."""
    steps = colours or ([(None, GREEN), (bad_from, RED)] if bad_from is not None else [(None, GREEN)])
    return panel(title, question, *queries, unit=unit, kind="stat", width=width, steps=steps)


def quantile(q, metric, by="", where=""):
    """The quantile `q` of a histogram, for each value of the labels `by`."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{where}{W})))"


def quantiles(metric, where):
    """The quantiles that say how long something takes, each with its name."""
    return ((quantile(q, metric, where=where), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99))


def rate(metric, by="", where=""):
    """How often a counter counts, a second, for each value of the labels `by`."""
    return f"sum by ({by}) (rate({metric}{where}{W}))" if by else f"sum(rate({metric}{where}{W}))"


OVERVIEW = ("overview", "Holdfast: overview", [
    stat("Products short", "Of how many products is more promised than there is?",
         ("sum(holdfast_products_short)", "short"), bad_from=1, width=6),
    stat("Stores offline", "How many shops has central lost sight of?",
         ("holdfast:stores_offline", "offline"), bad_from=1, width=6),
    stat("Lag p99", "How long until 99 of 100 changes have reached the shops?",
         ("holdfast:propagation_delay_seconds:p99_5m", "p99"), unit="s", width=6,
         colours=[(None, GREEN), (0.1, AMBER), (1, RED)]),
    stat("Drift", "How many shops hold something else than central says?",
         ("sum(holdfast_stores_drifted)", "drifted"), bad_from=1, width=6),
    panel("Refused promises by reason", "What do we refuse to promise, and why?",
          (rate("holdfast_decisions_total", "reason", '{outcome="refused"}'), "{{reason}}"), unit="cps", width=12),
    panel("Fsync latency", "How long does the disk take to make a sale durable?",
          (quantile(0.5, "holdfast_journal_sync_duration_seconds"), "p50"),
          (quantile(0.99, "holdfast_journal_sync_duration_seconds"), "p99"), unit="s", width=12),
    stat("Health of the API", "Which share of what central is asked does it answer without an error?",
         ('1 - job:holdfast_http_errors:ratio5m{job="central"}', "answered"), unit="percentunit",
         colours=[(None, RED), (0.98, AMBER), (0.999, GREEN)]),
    stat("Services up", "How many services answer Prometheus?", ('sum(up{job=~"central|store"})', "up"),
         colours=[(None, RED), (1, GREEN)]),
    stat("Alerts firing", "What should somebody look at? The names are under Alerting, the answers in docs/runbook.md.",
         ('count(ALERTS{alertstate="firing"}) or vector(0)', "firing"), bad_from=1),
    stat("Undecided orders", "Of how many orders does nobody know whether they are paid?",
         ('sum(holdfast_orders{status="undecided"})', "undecided"), colours=[(None, GREEN), (1, AMBER)]),
    stat("Changes a second", "How much happens in the chain?",
         (rate("holdfast_decisions_total", where='{outcome="applied"}'), "applied"), unit="cps"),
    stat("Stores online", "How many shops follow?", ("sum(holdfast_stores_online)", "online")),
    panel("Decisions", "What do we decide, and what of it is a repetition?",
          (rate("holdfast_decisions_total", "outcome"), "{{outcome}}"), unit="cps", width=12),
    panel("Orders by what became of them", "How do orders end?",
          (rate("holdfast_order_transitions_total", "status", '{status=~"confirmed|completed|failed|cancelled"}'),
           "{{status}}"), unit="cps", width=12),
])

STOCK = ("stock-and-feed", "Holdfast: stock and feed", [
    stat("Products", "How large is the catalogue?", ('holdfast_products{job="central"}', "products")),
    stat("Out of stock", "Which share of what is asked for is not there?", ("holdfast:out_of_stock:ratio5m", "refused"),
         unit="percentunit", colours=[(None, GREEN), (0.1, AMBER), (0.3, RED)]),
    stat("Remembered keys", "How large is the window in which a repetition is known?",
         ("holdfast_idempotency_keys", "keys")),
    stat("Records in the log", "How long is the log?", ("holdfast_journal_head_seq", "records")),
    stat("Age of the snapshot", "How old is the state that a start begins from?",
         ("holdfast_snapshot_age_seconds", "age"), unit="s"),
    stat("Behind the snapshot", "How many records would a start have to read?",
         ("holdfast_snapshot_behind_records", "records"), bad_from=5_000_000),
    panel("Writer's queue", "Is the writer keeping up?", ("holdfast_writer_queue_commands", "waiting")),
    panel("Decisions in one sync", "How many decisions share one sync?",
          (f"rate(holdfast_frame_records_sum{W}) / rate(holdfast_frame_records_count{W})", "mean"),
          (quantile(0.99, "holdfast_frame_records"), "p99")),
    panel("Syncs a second", "How often is the disk asked to make something durable?",
          (f"rate(holdfast_journal_sync_duration_seconds_count{W})", "syncs"), unit="ops"),
    panel("Size of the journal", "How much disk does the log take, and in how many files?",
          ("holdfast_journal_bytes", "bytes"), unit="bytes"),
    panel("Growth of the journal", "How fast does the log grow?",
          ("deriv(holdfast_journal_bytes[30m])", "a second"), unit="Bps"),
    panel("Segments", "In how many files is the log?", ("holdfast_journal_segments", "files")),
    panel("Events a second", "How much changes, by feed?",
          (f"rate(holdfast_feed_head_offset{W})", "{{feed}}"), unit="cps"),
    panel("Events delivered", "How many events are handed out to followers?",
          (rate("holdfast_feed_events_delivered_total", "feed"), "{{feed}}"), unit="cps"),
    panel("Polls", "How many polls bring something, and how many end empty?",
          (rate("holdfast_feed_polls_total", "feed, outcome"), "{{feed}}, {{outcome}}"), unit="reqps"),
    panel("Where followers read", "Do followers read from memory, or from the disk because they are far behind?",
          (rate("holdfast_feed_reads_total", "source"), "{{source}}"), unit="cps"),
    panel("Parked polls", "Who waits for the next event?", ("holdfast_feed_parked_polls", "waiting")),
    panel("Feed in memory", "How much of the feed is in memory?", ("holdfast_feed_ring_bytes", "{{feed}}"), unit="bytes"),
    panel("Live reservations", "How many holds are live?", ("holdfast_reservations_active", "live")),
    panel("Reservations made", "How many holds are made?", (rate("holdfast_reservations_made_total"), "made"), unit="cps"),
    panel("Reservations resolved", "How do holds end: bought, given back, run out?",
          (rate("holdfast_reservations_resolved_total", "state"), "{{state}}"), unit="cps"),
])

STORES = ("stores", "Holdfast: stores", [
    panel("Online", "Which shop is away?", ("holdfast_store_online", "{{store}}")),
    panel("Events behind", "How far is each shop behind, in events, as central sees it?",
          ("holdfast_store_lag_events", "{{store}}")),
    panel("Seconds behind", "How long ago was each shop last at the head?",
          ("holdfast_store_lag_seconds", "{{store}}"), unit="s"),
    panel("Drift by store", "Which shop holds something else than central?", ("holdfast_store_drifted", "{{store}}")),
    panel("Live copies", "Which copies are live, and which are catching up, stale or starting?",
          ('holdfast_sync_state == 1', "{{store}}: {{state}}")),
    panel("Central reachable", "Did central answer each shop when last asked?",
          ("holdfast_central_reachable", "{{store}}")),
    panel("Propagation p50", "How long does a change usually take to a shop?",
          (quantile(0.5, "holdfast_propagation_delay_seconds", "store"), "{{store}}"), unit="s"),
    panel("Propagation p99", "How long do the slowest changes take to each shop?",
          (quantile(0.99, "holdfast_propagation_delay_seconds", "store"), "{{store}}"), unit="s"),
    panel("Age of the copy", "When was each copy last proved current?",
          ("holdfast_cache_age_seconds", "{{store}}"), unit="s"),
    panel("Events applied", "How much does each shop follow?",
          (rate("holdfast_sync_events_applied_total", "store"), "{{store}}"), unit="cps"),
    panel("Lag by the shop's own account", "How far is each copy behind what it last heard of central?",
          ("holdfast_sync_lag_events", "{{store}}")),
    panel("Whole catalogues loaded", "How often, and why, was a whole catalogue loaded in the last hour?",
          ("sum by (store, reason) (increase(holdfast_sync_full_total[1h]))", "{{store}}, {{reason}}")),
    panel("Breaker open", "Which shop has stopped asking central?",
          ('holdfast_breaker_state{breaker="central", state="open"}', "{{store}}")),
    panel("Calls to central", "How do the shops' calls to central end?",
          (rate("holdfast_breaker_calls_total", "store, outcome", '{breaker="central"}'),
           "{{store}}, {{outcome}}"), unit="reqps"),
    panel("Retries", "How often do shops have to ask again?",
          (rate("holdfast_retries_total", "store", '{target="central"}'), "{{store}}"), unit="cps"),
    panel("Size of the copies", "How much disk does each copy take?", ("holdfast_cache_bytes", "{{store}}"), unit="bytes"),
    panel("Copies on disk", "Which copy would survive a restart?", ("holdfast_cache_persistent", "{{store}}")),
    panel("Checkpoints", "How often did each shop write its files anew in the last hour?",
          ("increase(holdfast_cache_checkpoints_total[1h])", "{{store}}")),
])

ORDERS = ("orders-and-payments", "Holdfast: orders and payments", [
    panel("Orders by status", "Where do the orders stand that are remembered?", ("holdfast_orders", "{{status}}"), width=12),
    panel("Orders on their way", "How many orders come to each status, a second?",
          (rate("holdfast_order_transitions_total", "status"), "{{status}}"), unit="cps", width=12),
    stat("In progress", "For how many orders has the payment provider something to do still?",
         ("holdfast_orders_in_progress", "in progress")),
    stat("Charges without an answer", "Which share of charges gets no clear answer?",
         ("holdfast:charges_without_answer:ratio5m", "unknown or not sent"), unit="percentunit",
         colours=[(None, GREEN), (0.05, AMBER), (0.2, RED)]),
    stat("Refunds refused, one day", "How many customers wait for money that the provider will not give back?",
         ('sum(increase(holdfast_payments_total{step="refund", outcome="refused"}[1d]))', "refused"), bad_from=1),
    stat("Orders failed, one day", "How many orders came to nothing?",
         ('sum(increase(holdfast_order_transitions_total{status="failed"}[1d]))', "failed"), width=6),
    stat("Orders confirmed, one day", "How many orders were good?",
         ('sum(increase(holdfast_order_transitions_total{status="confirmed"}[1d]))', "confirmed"), width=6),
    panel("Payments by outcome", "What does the payment provider say?",
          (rate("holdfast_payments_total", "step, outcome"), "{{step}}: {{outcome}}"), unit="cps", width=12),
    panel("How long a step takes", "How long do charges, voids and refunds take, their durable record included?",
          (quantile(0.99, "holdfast_saga_step_duration_seconds", "step"), "{{step}} p99"), unit="s", width=12),
    panel("Breaker of the provider", "Has central stopped asking the payment provider?",
          ('holdfast_breaker_state{breaker="payments"}', "{{state}}")),
    panel("Calls to the provider", "How do calls to the payment provider end?",
          (rate("holdfast_breaker_calls_total", "outcome", '{breaker="payments"}'), "{{outcome}}"), unit="reqps"),
    panel("Asked again", "How often is the provider asked again?",
          (rate("holdfast_retries_total", where='{target="payments"}'), "payments"), unit="cps"),
])

HTTP = ("http", "Holdfast: HTTP", [
    panel("Requests", "How much is asked of central and of the shops?",
          (rate("holdfast_http_requests_total", "job"), "{{job}}"), unit="reqps"),
    panel("Requests by route", "What is asked?", (rate("holdfast_http_requests_total", "job, method, route"),
                                                  "{{job}} {{method}} {{route}}"), unit="reqps", width=16),
    panel("Answers by status", "How do requests end?",
          (rate("holdfast_http_requests_total", "job, status"), "{{job}} {{status}}"), unit="reqps"),
    panel("Share of errors", "Which share fails on our side?", ("job:holdfast_http_errors:ratio5m", "{{job}}"), unit="percentunit"),
    panel("Refused by route", "Which calls are refused because of who asks, or of what is asked?",
          (rate("holdfast_http_requests_total", "job, route", '{status="4xx"}'), "{{job}} {{route}}"), unit="reqps"),
    panel("Latency of central", "How long does central take?",
          *quantiles("holdfast_http_request_duration_seconds", '{job="central"}'),
          unit="s"),
    panel("Latency of the shops", "How long do the shops' services take?",
          *quantiles("holdfast_http_request_duration_seconds", '{job="store"}'),
          unit="s"),
    panel("Slowest routes", "Which ten calls are slow?",
          ("topk(10, job_route:holdfast_http_request_duration_seconds:p99_5m > 0)", "{{job}} {{route}}"), unit="s"),
    panel("In flight", "How much is being handled now, parked polls included?",
          ("holdfast_http_requests_in_flight", "{{job}} {{store}}")),
    panel("Abandoned", "How often does a caller go away before its answer?",
          (rate("holdfast_http_requests_abandoned_total", "job"), "{{job}}"), unit="cps"),
    panel("Too many requests", "Who is told to ask less, and by which limit?",
          (rate("holdfast_rate_limit_refusals_total", "job, policy, client"), "{{job}} {{policy}} {{client}}"), unit="reqps"),
])

SYSTEM = ("system", "Holdfast: system", [
    panel("Scraped", "Which service does not answer Prometheus?", ('up{job=~"central|store"}', "{{job}} {{store}}")),
    panel("CPU", "How busy is each process, in cores?",
          (f"rate(process_cpu_seconds_total{W})", "{{job}} {{store}}")),
    panel("Memory", "How much memory does each process take?", ("process_resident_memory_bytes", "{{job}} {{store}}"), unit="bytes"),
    panel("Address space", "How much address space does each process take?",
          ("process_virtual_memory_bytes", "{{job}} {{store}}"), unit="bytes"),
    panel("Files and sockets", "Which share of the files that it may open has each process open?",
          ("process_open_fds / process_max_fds", "{{job}} {{store}}"), unit="percentunit"),
    panel("Threads", "How many threads has each process?", ("process_threads", "{{job}} {{store}}")),
    panel("Uptime", "How long has each process been running?",
          ("time() - process_start_time_seconds", "{{job}} {{store}}"), unit="s"),
    panel("Restarts, one hour", "Which process restarts?",
          ("changes(process_start_time_seconds[1h])", "{{job}} {{store}}")),
    panel("Versions", "What runs here?", ("count by (service, version) (holdfast_build_info)", "{{service}} {{version}}")),
    panel("Time of a scrape", "How long does it take to ask a service for its metrics?",
          ('scrape_duration_seconds{job=~"central|store"}', "{{job}} {{store}}"), unit="s"),
])

DASHBOARDS = [OVERVIEW, STOCK, STORES, ORDERS, HTTP, SYSTEM]


def drawn(number, spec, x, y, height):
    """The panel as Grafana wants it."""
    source = {"type": "prometheus", "uid": "prometheus"}
    defaults = {"unit": spec["unit"], "min": 0}
    if spec["steps"]:
        defaults["color"] = {"mode": "thresholds"}
        steps = [{"value": value, "color": colour} for value, colour in spec["steps"]]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    else:
        defaults["custom"] = {"fillOpacity": 8, "lineWidth": 1, "showPoints": "never", "spanNulls": False}
    options = ({"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
               if spec["kind"] == "stat" else
               {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}})
    return {
        "id": number,
        "title": spec["title"],
        "description": spec["question"],
        "type": spec["kind"],
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": spec["width"], "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [{"refId": chr(ord("A") + index), "datasource": source, "expr": expr, "legendFormat": legend}
                    for index, (expr, legend) in enumerate(spec["queries"])],
    }


def dashboard(uid, title, specs):
    """The dashboard: panels from left to right, a new row when the next one has no room."""
    panels, x, y, row = [], 0, 0, 0
    for number, spec in enumerate(specs, start=1):
        height = 4 if spec["kind"] == "stat" else 8
        if x + spec["width"] > 24:
            x, y, row = 0, y + row, 0
        panels.append(drawn(number, spec, x, y, height))
        x, row = x + spec["width"], max(row, height)
    return {
        "uid": f"holdfast-{uid}",
        "title": title,
        "tags": ["holdfast"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "schemaVersion": 38,
        "links": [{"type": "dashboards", "tags": ["holdfast"], "title": "Holdfast", "asDropdown": True,
                   "includeVars": True, "keepTime": True}],
        "panels": panels,
    }


def readme():
    """The list of panels with their questions."""
    count = sum(len(specs) for _, _, specs in DASHBOARDS)
    lines = [
        "# Dashboards",
        "",
        f"{len(DASHBOARDS)} dashboards, {count} panels, each of which answers one question. They are made by `dashboards.py`, as is this",
        "page: change the tables there, run it, and commit what it writes. Grafana reads `provisioning/` when it starts",
        "(`docker-compose.yml` mounts it) and shows the dashboards in the folder *Holdfast*; they cannot be edited there, because",
        "the next start would undo it.",
        "",
        "Every expression is evaluated against running services by `every_expression_has_a_value` in `system-tests`.",
    ]
    for uid, title, specs in DASHBOARDS:
        name = title.removeprefix("Holdfast: ")
        lines += ["", f"## {name[0].upper()}{name[1:]} ({len(specs)})", "", f"`dashboards/{uid}.json`", "",
                  "| panel | question |", "|---|---|"]
        lines += [f"| {spec['title']} | {spec['question']} |" for spec in specs]
    return "\n".join(lines) + "\n"


def files():
    """Every file that is made, with its text."""
    made = {HERE / "dashboards" / f"{uid}.json": json.dumps(dashboard(uid, title, specs), indent=2) + "\n"
            for uid, title, specs in DASHBOARDS}
    made[HERE / "README.md"] = readme()
    return made


def main():
    made = files()
    if sys.argv[1:] == ["--check"]:
        there = set((HERE / "dashboards").glob("*.json")) | {HERE / "README.md"}
        stale = [path for path in sorted(there | set(made))
                 if not path.exists() or path not in made or path.read_text("utf-8") != made[path]]
        for path in stale:
            print(f"{path.relative_to(HERE.parent)} is not what grafana/dashboards.py writes: run it", file=sys.stderr)
        return bool(stale)
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
