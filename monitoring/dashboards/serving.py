"""Serving: what callers see, what answers them, and whether it is logged."""

from monitoring.dashboards.panels import Board, Panel, Row, quantiles, rates

ASKED = '$in, route=~".+:predict|infer"'
FAILED = f'{ASKED}, code=~"5.."'

CALLERS = Row(
    "What callers see",
    (
        Panel(
            "Predictions a second",
            "Requests by their answer's code. `infer` is also what a transformer asks its predictor.",
            "reqps",
            "requests-fail",
            {"{{route}} {{code}}": f"sum by (route, code) (rate(rapt_request_seconds_count{{{ASKED}}}[$every]))"},
        ),
        Panel(
            "Failed",
            "Share of the predictions that end in 5xx.",
            "percentunit",
            "requests-fail",
            {
                "{{route}}": f"sum by (route) (rate(rapt_request_seconds_count{{{FAILED}}}[$every])) "
                f"/ sum by (route) (rate(rapt_request_seconds_count{{{ASKED}}}[$every]))"
            },
            limit=0.01,
        ),
        Panel(
            "Latency",
            "From a request's last byte to its answer.",
            "s",
            "requests-slow",
            quantiles("rapt_request_seconds", "route", ASKED),
            limit=0.1,
        ),
        Panel(
            "Where the time goes",
            "Time of a prediction by stage: reading the viewer's state, waiting for the predictor.",
            "s",
            "requests-slow",
            quantiles("rapt_stage_seconds", "stage"),
        ),
    ),
)
ANSWERS = Row(
    "What answers",
    (
        Panel(
            "Predictions by arm and model",
            "Which model answers how many. Two of them: an experiment runs, or a model is being replaced.",
            "reqps",
            "guardrail-broken",
            {"{{arm}} {{model}}": "sum by (arm, model) (rate(rapt_predictions_total{$in}[$every]))"},
        ),
        Panel(
            "Stand-ins",
            "Viewers and videos that the model does not know, for which it has learned a stand-in.",
            "cps",
            "entropy-high",
            {"{{what}}": "sum by (what) (rate(rapt_fallbacks_total{$in}[$every]))"},
        ),
        Panel(
            "Calls to predictors that failed",
            "By why, those that were asked a second time, and viewers of a candidate whom the stable model answered.",
            "cps",
            "requests-fail",
            {
                "{{why}}": "sum by (why) (rate(rapt_predictor_call_failures_total{$in}[$every]))",
                "asked again": "sum(rate(rapt_predictor_hedged_calls_total{$in}[$every]))",
                "candidate of {{experiment}}": "sum by (experiment) (rate(rapt_candidate_failures_total{$in}[$every]))",
            },
        ),
        Panel(
            "Requests that run together",
            "Mean of a predictor's batches. It grows under load; with it grows the time of each.",
            "short",
            "requests-slow",
            {
                "requests": "sum(rate(rapt_predictor_batch_requests_sum{$in}[$every])) "
                "/ sum(rate(rapt_predictor_batch_requests_count{$in}[$every]))"
            },
        ),
        Panel(
            "Time in the model's graphs",
            "What a predictor's batch takes in ONNX Runtime.",
            "s",
            "requests-slow",
            quantiles("rapt_predictor_batch_seconds"),
        ),
        Panel(
            "Viewers encoded before",
            "Share of the requests whose viewer has done nothing new since, so that the encoding was kept.",
            "percentunit",
            "requests-slow",
            {
                "kept": 'sum(rate(rapt_predictor_viewers_total{$in, cache="hit"}[$every])) '
                "/ sum(rate(rapt_predictor_viewers_total{$in}[$every]))"
            },
        ),
    ),
)
LOGGED = Row(
    "What is logged",
    (
        Panel(
            "Exposures",
            "Handed to Kafka, by arm.",
            "cps",
            "exposures-lost",
            {"{{arm}}": "sum by (arm) (rate(rapt_exposures_total{$in}[$every]))"},
        ),
        Panel(
            "Exposures lost or not logged",
            "Must stay 0. Lost: taken and not acknowledged. Not logged: the queue was full.",
            "cps",
            "exposures-lost",
            rates("rapt_exposures", "lost", "unlogged"),
        ),
        Panel(
            "Exposures that wait",
            "Not acknowledged by Kafka yet.",
            "short",
            "exposures-lost",
            {"waiting": "sum(rapt_exposures_waiting{$in})"},
        ),
    ),
)
BOARD = Board(
    "rapt-serving", "Rapt: serving", "What callers see, what answers them, what is logged.", (CALLERS, ANSWERS, LOGGED)
)
