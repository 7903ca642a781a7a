"""Model quality and retraining, in the order in which they tell something: labels, calibration, entropy, drift."""

from monitoring.dashboards.panels import Board, Panel, Row

QUALITY = Row(
    "The model that serves",
    (
        Panel(
            "Coverage of labels",
            "First of all: below the line nothing to its right can be trusted.",
            "percentunit",
            "labels-missing",
            {"coverage": "rapt_labels_coverage{$in}"},
            limit=0.8,
        ),
        Panel(
            "Predicted over actual",
            "Engagements that were predicted, for each that came. A calibrated model is at 1.",
            "short",
            "calibration-off",
            {"predicted / actual": "rapt_model_predicted_over_actual{$in}"},
            limit=1.15,
        ),
        Panel(
            "Normalised entropy",
            "Log loss as a share of what the mean costs. Lower is better; above 1, the mean is better.",
            "percentunit",
            "entropy-high",
            {"normalised entropy": "rapt_model_ne{$in}"},
            limit=1,
        ),
        Panel(
            "Decayed",
            "1 when the model is shown not to keep its promises.",
            "short",
            "model-decayed",
            {"decayed": "rapt_model_decayed{$in}"},
            limit=1,
        ),
        Panel(
            "Drifted",
            "How much of scores and outcomes differs from when the model began to serve.",
            "short",
            "drift",
            {"drifted": "rapt_model_drifted{$in}"},
        ),
        Panel(
            "Which model answers",
            "Share of the predictions of the last minutes.",
            "percentunit",
            "model-decayed",
            {
                "{{model}}": "sum by (model) (rate(rapt_predictions_total{$in}[$every])) "
                "/ ignoring (model) group_left sum(rate(rapt_predictions_total{$in}[$every]))"
            },
        ),
    ),
)
SLICES = Row(
    "Where",
    (
        Panel(
            "Normalised entropy by arm and model",
            "Of the newest impressions. Each model is judged by its own scores.",
            "percentunit",
            "entropy-high",
            {"{{slice}} {{level}}": 'rapt_slice_ne{$in, slice=~"arm|model"}'},
            limit=1,
        ),
        Panel(
            "AUC within viewers by topic",
            "Of the serving model: how well it orders what one viewer sees. One half is chance.",
            "short",
            "entropy-high",
            {"{{level}}": 'rapt_slice_gauc{$in, slice="topic"}'},
        ),
        Panel(
            "Predicted over actual by position",
            "Of the serving model, at the place on the page where a video was shown.",
            "short",
            "calibration-off",
            {"{{level}}": 'rapt_slice_predicted_over_actual{$in, slice="position"}'},
            limit=1.15,
        ),
        Panel(
            "How far each column has moved",
            "Share of the rows that lie elsewhere than when the model began to serve. Below the line it is no drift.",
            "percentunit",
            "drift",
            {"{{column}}": "rapt_drift_distance{$in}"},
            limit=0.1,
        ),
        Panel(
            "Impressions looked at",
            "Behind the figures of the serving model.",
            "short",
            "model-unwatched",
            {"impressions": 'rapt_slice_impressions{$in, slice="all"}'},
        ),
        Panel(
            "Looks and reports",
            "Within an hour: looks at the model that failed, reports made and reports that could not be.",
            "short",
            "model-unwatched",
            {
                "looks failed": "sum(increase(rapt_reports_looks_failed_total{$in}[1h]))",
                "reports made": "sum(increase(rapt_reports_made_total{$in}[1h]))",
                "reports failed": "sum(increase(rapt_reports_failed_total{$in}[1h]))",
            },
        ),
    ),
)
RETRAINING = Row(
    "Retraining",
    (
        Panel(
            "Runs",
            "Retrainings within a day, and those that ended without a verdict.",
            "short",
            "retraining-fails",
            {
                "begun": "sum(increase(rapt_retraining_runs_total{$in}[1d]))",
                "failed": "sum(increase(rapt_retraining_runs_failed_total{$in}[1d]))",
            },
        ),
        Panel(
            "Running",
            "1 while one runs.",
            "short",
            "retraining-fails",
            {"running": "rapt_retraining_running{$in}"},
        ),
        Panel(
            "Looks that failed",
            "At the serving model, within an hour.",
            "short",
            "retraining-fails",
            {"failed": "sum(increase(rapt_retraining_failures_total{$in}[1h]))"},
            limit=3,
        ),
    ),
)
BOARD = Board(
    "rapt-quality",
    "Rapt: model quality and retraining",
    "Labels, calibration, entropy, decay, drift, and what is done about them.",
    (QUALITY, SLICES, RETRAINING),
)
