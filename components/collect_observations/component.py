"""The component `collect_observations` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect_observations(
    catalog: dsl.Output[dsl.Dataset],
    events: dsl.Output[dsl.Dataset],
    serving: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    trigger: str = "auto",
    least: int = 20_000,
    cool_down_s: float = 3600.0,
    oldest_s: float = 604_800.0,
    bias_margin: float = 0.1,
    loss_margin: float = 0.02,
    days: float = 14.0,
    experiment: str = "",
    run_id: str = "",
) -> str:
    """Tell whether a retraining is due, and bring what to learn from."""
    from components.measured import run_measured

    return run_measured(
        "collect_observations",
        metrics,
        inputs={},
        outputs={"catalog": catalog.path, "events": events.path, "serving": serving.path},
        params={
            "trigger": trigger,
            "least": least,
            "cool_down_s": cool_down_s,
            "oldest_s": oldest_s,
            "bias_margin": bias_margin,
            "loss_margin": loss_margin,
            "days": days,
            "experiment": experiment,
            "run_id": run_id,
        },
        fresh=True,
    )["verdict"]
