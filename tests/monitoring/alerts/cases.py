"""For every alert: the series of a bad day, and of one that is just good enough."""

from dataclasses import dataclass

UP = "rapt_exposures_lost_total"
"""Its absence is an alert of its own, so every case but that one has it."""
OKS = 'rapt_request_seconds_count{route="interest:predict",code="200"}'
ERRORS = 'rapt_request_seconds_count{route="interest:predict",code="503"}'
RUNNING = 'rapt_experiment_phase{experiment="e",phase="Running"}'
ENDED = 'rapt_experiment_phase{experiment="e",phase="RolledBack"}'


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, one value a minute, by name; and minutes at which one looks."""

    alert: str
    bad: dict[str, str]
    good: dict[str, str]
    after: int = 30
    before: int = 0
    """Fires not yet then, though the series are bad."""


def slow(below: str) -> dict[str, str]:
    """A thousand requests a minute, 95% of them quicker than .05 s and the others than `below`."""
    bounds = {"0.05": 950, below: 1000, "+Inf": 1000}
    return {
        f'rapt_request_seconds_bucket{{route="interest:predict",le="{bound}"}}': f"0+{number}x200"
        for bound, number in bounds.items()
    }


CASES = (
    Case("RaptExposuresLost", {UP: "0x20 3x20"}, {UP: "7x40"}, before=10),
    Case("RaptExposuresUnlogged", {"rapt_exposures_unlogged_total": "0+5x40"},
         {"rapt_exposures_unlogged_total": "9x40"}, before=4),
    Case("RaptEndpointAbsent", {"other": "1x40"}, {UP: "0x40"}, before=4),
    Case("RaptRecordsGone", {"rapt_labels_offsets_gone_total": "0x9 1x40"}, {"rapt_labels_offsets_gone_total": "1x40"},
         before=9),
    Case("RaptRecordsGone", {"rapt_feeder_offsets_gone_total": "0x9 1x40"}, {"rapt_feeder_offsets_gone_total": "1x40"},
         before=9),
    Case("RaptLabelCoverageLow", {"rapt_labels_coverage": "0.79x40"}, {"rapt_labels_coverage": "0.8x40"}, before=14),
    Case("RaptLabelsLate", {"rapt_labels_label_lag_seconds": "301x40"}, {"rapt_labels_label_lag_seconds": "299x40"},
         before=9),
    Case("RaptLabelCommitsFail", {"rapt_labels_commits_failed_total": "0+1x40"},
         {"rapt_labels_commits_failed_total": "0x10 1x40"}, before=3),
    Case("RaptCalibrationOff", {"rapt_model_predicted_over_actual": "1.16x40"},
         {"rapt_model_predicted_over_actual": "1.14x40"}, before=14),
    Case("RaptCalibrationOff", {"rapt_model_predicted_over_actual": "0.84x40"},
         {"rapt_model_predicted_over_actual": "0.86x40"}, before=14),
    Case("RaptEntropyHigh", {"rapt_model_ne": "1.01x40"}, {"rapt_model_ne": "0.99x40"}, before=14),
    Case("RaptModelDecayed", {"rapt_model_decayed": "1x200"}, {"rapt_model_decayed": "1x100 0x100"}, before=119,
         after=130),
    Case("RaptStateOld", {"rapt_feeder_state_age_seconds": "11x40"}, {"rapt_feeder_state_age_seconds": "9x40"}),
    Case("RaptStateBehind", {"rapt_feeder_lag": "1001x40"}, {"rapt_feeder_lag": "1000x40"}, before=4),
    Case("RaptEventsUnusable", {"rapt_feeder_dead_letters_total": "0+2x40", "rapt_feeder_records_total": "0+100x40"},
         {"rapt_feeder_dead_letters_total": "0+1x40", "rapt_feeder_records_total": "0+101x40"}, before=4),
    Case("RaptViewersEvicted", {"rapt_feeder_evictions_total": "0x9 1x40"}, {"rapt_feeder_evictions_total": "8x40"},
         before=9),
    Case("RaptCheckpointsFail", {"rapt_feeder_checkpoints_failed_total": "0+1x40"},
         {"rapt_feeder_checkpoints_failed_total": "0x10 2x40"}, before=3),
    Case("RaptRequestsFail", {OKS: "0+100x40", ERRORS: "0+2x40"}, {OKS: "0+200x40", ERRORS: "0+2x40"}, before=1),
    Case("RaptRequestsSlow", slow("0.25"), slow("0.1"), before=9),
    Case("RaptVideosWait", {"rapt_feed_lag": "101x40"}, {"rapt_feed_lag": "100x40"}, before=14),
    Case("RaptDrift", {"rapt_model_drifted": "1x200"}, {"rapt_model_drifted": "0x200"}, before=119, after=130),
    Case("RaptRetrainingFailed", {"rapt_retraining_runs_failed_total": "0x9 1x40"},
         {"rapt_retraining_runs_failed_total": "1x40"}, before=9),
    Case("RaptModelUnwatched", {"rapt_reports_looks_failed_total": "0+1x40"},
         {"rapt_reports_looks_failed_total": "0x9 3x40"}, before=10),
    Case("RaptGuardrailBroken", {"rapt_experiment_guardrails_broken{experiment=\"e\"}": "0x20 1x40",
                                 RUNNING: "1x21 0x40", ENDED: "0x21 1x40"},
         {"rapt_experiment_guardrails_broken{experiment=\"e\"}": "1x40", RUNNING: "0x40", ENDED: "1x40"}, before=20),
    Case("RaptSampleRatio", {"rapt_experiment_sample_ratio_p{experiment=\"e\"}": "0.009x40", RUNNING: "1x40"},
         {"rapt_experiment_sample_ratio_p{experiment=\"e\"}": "0.01x40", RUNNING: "1x40"}, before=4),
    Case("RaptSampleRatio", {"rapt_experiment_sample_ratio_p{experiment=\"e\"}": "0.009x40", RUNNING: "1x40"},
         {"rapt_experiment_sample_ratio_p{experiment=\"e\"}": "0.009x40", RUNNING: "0x40"}, before=4),
    Case("RaptExperimentDataOld", {"rapt_experiment_data_age_seconds": "10801x40"},
         {"rapt_experiment_data_age_seconds": "10800x40"}, before=9),
    Case("RaptExperimentsUnwatched", {"rapt_experiments_failures_total": "0+1x40"},
         {"rapt_experiments_failures_total": "0x9 3x40"}, before=5),
)  # fmt: skip
