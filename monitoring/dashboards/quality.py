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
    (QUALITY, RETRAINING),
)
