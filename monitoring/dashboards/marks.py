"""What happened, as marks across every panel: rollouts, another model that answers, retrainings.

Each is a query that gives something at the minute in which it happened, as Grafana's annotations from Prometheus are:
they ask once a minute. A process that starts anew repeats nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.colours import BLUE, ORANGE, PURPLE, VERMILION

STEP = "60s"
PHASE = "max by (namespace, experiment, phase) ({})"
ANSWERS = 'sum by (namespace, model) (increase(rapt_predictions_total{{$in, arm="stable"}}[5m]{})) > 0'
BEGUN = "sum by (namespace) (rapt_retraining_runs_total{{$in}}{})"
RUNNING = "max by (namespace) (rapt_retraining_running{{$in}}{})"


@dataclass(frozen=True)
class Mark:
    """A kind of mark. `title` and `tags` name labels of what the query gives, in braces and by commas."""

    name: str
    colour: str
    title: str
    tags: str
    query: str


MARKS = (
    Mark(
        "Rollouts",
        BLUE,
        "{{experiment}}: {{phase}}",
        "experiment,phase",
        # An experiment enters a phase once.
        f"{PHASE.format('rapt_experiment_phase{$in}')} == 1 unless "
        f"{PHASE.format('max_over_time(rapt_experiment_phase{$in}[15m] offset 1m)')} == 1",
    ),
    Mark(
        "Models",
        PURPLE,
        "model {{model}} answers",
        "model",
        f"{ANSWERS.format('')} unless {ANSWERS.format(' offset 1m')}",
    ),
    Mark(
        "Retrainings",
        VERMILION,
        "a retraining begins",
        "namespace",
        f"{BEGUN.format('')} > {BEGUN.format(' offset 1m')}",
    ),
    Mark(
        "Retrainings ended",
        ORANGE,
        "a retraining has ended",
        "namespace",
        f"{RUNNING.format(' offset 1m')} == 1 unless {RUNNING.format('')} == 1",
    ),
)
