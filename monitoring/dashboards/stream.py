"""Stream and state: events into viewers' histories, exposures and events into labels, new videos into the catalogue."""

from monitoring.dashboards.panels import Board, Panel, Row, quantiles, rates

STATE = Row(
    "Viewers' states",
    (
        Panel(
            "Age of the state",
            "Seconds since all that the broker had was in the state. Beyond 10 s the endpoint answers 503.",
            "s",
            "state-behind",
            {"{{instance}}": "rapt_feeder_state_age_seconds{$in}"},
            limit=10,
        ),
        Panel(
            "Age behind predictions",
            "How old the state was that a prediction was made from.",
            "ms",
            "state-behind",
            quantiles("rapt_state_age_ms"),
        ),
        Panel(
            "Records to apply",
            "Events that are not in the state yet: what the feeder says, and what the transformer reads.",
            "short",
            "state-behind",
            {
                "feeder {{instance}}": "rapt_feeder_lag{$in} < 1e18",
                "transformer {{instance}}": "rapt_state_lag_records{$in} < 1e18",
            },
            limit=1000,
        ),
        Panel(
            "Viewers",
            "Viewers that have a state, and for how many there is room.",
            "short",
            "viewers-evicted",
            {
                "{{instance}}": "rapt_feeder_viewers{$in}",
                "room {{instance}}": "rapt_feeder_capacity{$in}",
            },
        ),
        Panel(
            "Memory of the states",
            "What the slabs take.",
            "bytes",
            "viewers-evicted",
            {"{{instance}}": "rapt_feeder_state_bytes{$in}"},
        ),
        Panel(
            "Viewers that had to go",
            "The longest idle, for others.",
            "cps",
            "viewers-evicted",
            rates("rapt_feeder", "evictions"),
        ),
        Panel(
            "Age of the checkpoint",
            "A feeder that starts reads the stream from there on.",
            "s",
            "checkpoints-fail",
            {"{{instance}}": "rapt_feeder_last_checkpoint_age_seconds{$in}"},
        ),
        Panel(
            "Checkpoints",
            "Written, and not taken by the object store.",
            "cps",
            "checkpoints-fail",
            rates("rapt_feeder", "checkpoints", "checkpoints_failed"),
        ),
    ),
)
EVENTS = Row(
    "Events",
    (
        Panel(
            "Events a second",
            "Every feeder reads all of them, so this is the sum over feeders.",
            "cps",
            "state-behind",
            rates("rapt_feeder", "records", "feedback", "impressions"),
        ),
        Panel(
            "Events that cannot be used",
            "They went to events.dead; lost: not even there.",
            "cps",
            "events-unusable",
            rates("rapt_feeder", "dead_letters", "dead_letters_lost"),
        ),
        Panel(
            "Events out of order",
            "Late ones are sorted in, those older than a viewer's newest 100 are left out, doubles do not count.",
            "cps",
            "events-unusable",
            rates("rapt_feeder", "late", "too_late", "duplicates"),
        ),
        Panel(
            "Records deleted before they were read",
            "Must stay 0.",
            "short",
            "records-gone",
            {
                "feeder": "sum(increase(rapt_feeder_offsets_gone_total{$in}[1h]))",
                "labels": "sum(increase(rapt_labels_offsets_gone_total{$in}[1h]))",
            },
        ),
    ),
)
LABELS = Row(
    "Labels",
    (
        Panel(
            "Coverage",
            "Share of the requests closed within ten minutes that have an impression.",
            "percentunit",
            "labels-missing",
            {"coverage": "rapt_labels_coverage{$in}"},
            limit=0.8,
        ),
        Panel(
            "How late labels are",
            "From the end of their window to now.",
            "s",
            "labels-late",
            {"late": "rapt_labels_label_lag_seconds{$in}"},
            limit=300,
        ),
        Panel(
            "Observations",
            "Rows written, requests that closed with and without a label.",
            "cps",
            "labels-missing",
            rates("rapt_labels", "rows", "labelled_requests", "missing_requests"),
        ),
        Panel(
            "What did not fit",
            "Events and exposures that came late, belong to nothing, came twice, or cannot be read.",
            "cps",
            "labels-missing",
            rates("rapt_labels", "late_events", "late_exposures", "orphaned_events", "duplicate_events", "rejected"),
        ),
        Panel(
            "Open requests",
            "Requests whose window is open, and records still to be read.",
            "short",
            "labels-late",
            {"open": "rapt_labels_open_requests{$in}", "to read": "rapt_labels_lag{$in}"},
        ),
        Panel(
            "Commits",
            "Written, and not taken by the object store.",
            "cps",
            "labels-late",
            rates("rapt_labels", "commits", "commits_failed"),
        ),
    ),
)
VIDEOS = Row(
    "New videos",
    (
        Panel(
            "Videos by what became of them",
            "Encoded, rejected, or encoded anew for another model.",
            "cps",
            "videos-wait",
            {
                "{{outcome}}": "sum by (outcome) (rate(rapt_feed_videos_total{$in}[$every]))",
                "renewed": "sum(rate(rapt_feed_renewed_total{$in}[$every]))",
            },
        ),
        Panel(
            "From message to scorable",
            "Download, decoding and encoding of a new video.",
            "s",
            "videos-wait",
            quantiles("rapt_feed_seconds"),
        ),
        Panel(
            "Videos that wait",
            "Not taken up yet, and in work.",
            "short",
            "videos-wait",
            {"waiting": "rapt_feed_lag{$in}", "in work": "rapt_feed_in_flight{$in}"},
            limit=100,
        ),
        Panel(
            "Catalogue",
            "Videos that a predictor can score with their content.",
            "short",
            "videos-wait",
            {"{{instance}}": "rapt_predictor_videos{$in}"},
        ),
    ),
)
BOARD = Board(
    "rapt-stream",
    "Rapt: stream and state",
    "Events into histories and labels, new videos into the catalogue.",
    (STATE, EVENTS, LABELS, VIDEOS),
)
