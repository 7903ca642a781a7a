"""Observations: exposures joined with what the viewer did, one row a video that was shown; the table and its meaning.

The only source for retraining, quality, drift and experiments. `monitoring/labels` writes them.
"""

from __future__ import annotations

import pyarrow as pa

FEEDBACK = pa.struct([("kind", pa.string()), ("ts_ms", pa.int64()), ("watch_ms", pa.int64()), ("position", pa.int32())])
"""One thing that a viewer did about a video, by the clock of the event."""

SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("experiment", pa.string()),
        ("arm", pa.dictionary(pa.int32(), pa.string())),
        ("propensity", pa.float64()),
        ("model_digest", pa.dictionary(pa.int32(), pa.string())),
        ("ts_ms", pa.int64()),
        ("logged_ms", pa.int64()),
        ("baseline", pa.float64()),
        ("latency_ms", pa.float32()),
        ("failed", pa.bool_()),
        ("unknown", pa.int32()),
        ("state_age_ms", pa.int64()),
        ("candidates", pa.int32()),
        ("label_age_ms", pa.int64()),
        ("video_id", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("scored_position", pa.int32()),
        ("position", pa.int32()),
        ("randomised", pa.bool_()),
        ("engaged", pa.bool_()),
        ("watch_ms", pa.int64()),
        ("liked", pa.bool_()),
        ("shared", pa.bool_()),
        ("skipped", pa.bool_()),
        ("shown_ms", pa.int64()),
        ("feedback", pa.list_(FEEDBACK)),
    ]
)
"""One row for each (request, video) with an impression; the columns up to `label_age_ms` are the exposure's.

`ts_ms` is the exposure's moment, by the caller's clock where it gave one, `logged_ms` that of its record in the stream,
by which windows are cut; `shown_ms` is the impression's; `label_age_ms` how old every label is when the window
closes, the same for all rows of a joiner. A request of which nothing was shown within the window, or whose labels were
lost, has one row with `video_id` and all after it null: that is how missing labels are counted. Labels are what the
viewer did within the window, `engaged` by `records.engaged`; `feedback` is each thing that they did, in order, as it
stands in their history when they are served next.

`rank` is the video's place among the request's candidates by score, 1 the best, so that the chance of its being shown
can be known: a page that is not `randomised` has the best ones. `score` is the chance at `scored_position`, mostly 1,
and `position` where the video was shown.
"""
