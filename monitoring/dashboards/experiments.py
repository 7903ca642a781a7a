"""Experiments: what each has shown so far, and whether it may be believed."""

from monitoring.dashboards.panels import Board, Panel, Row

SHOWN = Row(
    "What is shown",
    (
        Panel(
            "Lift",
            "Of the primary metric, as a share of the stable arm's value, with the bounds that hold at every look.",
            "percentunit",
            "guardrail-broken",
            {
                "{{experiment}}": "rapt_experiment_lift{$in}",
                "{{experiment}} at least": "rapt_experiment_lift_lower{$in}",
                "{{experiment}} at most": "rapt_experiment_lift_upper{$in}",
            },
        ),
        Panel(
            "Share",
            "Share of the viewers that see the candidate.",
            "percentunit",
            "guardrail-broken",
            {"{{experiment}}": "rapt_experiment_share{$in}"},
        ),
        Panel(
            "Viewers",
            "Viewers of each arm in the statistics.",
            "short",
            "sample-ratio",
            {"{{experiment}} {{arm}}": "rapt_experiment_viewers{$in}"},
        ),
        Panel(
            "Phase",
            "1 for the phase that an experiment is in.",
            "short",
            "guardrail-broken",
            {"{{experiment}} {{phase}}": "rapt_experiment_phase{$in} == 1"},
        ),
    ),
)
BELIEVED = Row(
    "Whether it may be believed",
    (
        Panel(
            "Guardrails broken",
            "Those that the candidate is shown to break; it is rolled back by itself.",
            "short",
            "guardrail-broken",
            {"{{experiment}}": "rapt_experiment_guardrails_broken{$in}"},
            limit=1,
        ),
        Panel(
            "Sample ratio",
            "Always-valid p-value of the arms' viewers being as drawn. Below the line nothing is decided.",
            "short",
            "sample-ratio",
            {"{{experiment}}": "rapt_experiment_sample_ratio_p{$in}"},
            limit=0.01,
        ),
        Panel(
            "Age of the data",
            "Since the end of the statistics' last window.",
            "s",
            "experiment-data-old",
            {"{{experiment}}": "rapt_experiment_data_age_seconds{$in}"},
            limit=10_800,
        ),
        Panel(
            "Viewers whom the stable model answered",
            "In a candidate's arm, since the candidate did not answer.",
            "cps",
            "guardrail-broken",
            {"{{experiment}}": "sum by (experiment) (rate(rapt_candidate_failures_total{$in}[$every]))"},
        ),
        Panel(
            "Looks",
            "At all experiments, and those that failed.",
            "cps",
            "experiments-unwatched",
            {
                "looks": "sum(rate(rapt_experiments_looks_total{$in}[$every]))",
                "failed": "sum(rate(rapt_experiments_failures_total{$in}[$every]))",
            },
        ),
        Panel(
            "Version of the allocation",
            "What each endpoint goes by; they agree but for moments.",
            "short",
            "experiments-unwatched",
            {"{{instance}}": "rapt_arms_version{$in}"},
        ),
    ),
)
BOARD = Board(
    "rapt-experiments",
    "Rapt: experiments",
    "What canaries have shown so far, and whether it may be believed.",
    (SHOWN, BELIEVED),
)
