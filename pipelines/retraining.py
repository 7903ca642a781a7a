"""The retraining pipeline: what viewers did of late to a candidate for the model that serves, if due and better.

Run it again and again (`rapt pipeline schedule retraining --every 15m`): most runs end after their first step.
"""

from kfp import dsl

from components.build_dataset.component import build_dataset
from components.collect_observations.component import collect_observations
from components.compare.component import compare
from components.fine_tune.component import fine_tune
from components.propose.component import propose
from pipelines.tasks import LEARN, LIGHT, task_of


@dsl.pipeline(name="retraining", description="Observations to a candidate for the model that serves, when it is due")
def retraining(
    trigger: str = "auto",
    least: int = 20_000,
    cool_down_s: float = 3600.0,
    oldest_s: float = 604_800.0,
    bias_margin: float = 0.1,
    loss_margin: float = 0.02,
    days: float = 14.0,
    seed: int = 0,
    epochs: int = 6,
    rate: float = 1e-3,
    threads: int = 2,
    bootstrap_resamples: int = 400,
    experiment: str = "",
) -> None:
    """`trigger`: "auto" or "now"; `experiment`: spec of the experiment that tries the candidate, as YAML."""
    found = task_of(
        collect_observations(
            trigger=trigger,
            least=least,
            cool_down_s=cool_down_s,
            oldest_s=oldest_s,
            bias_margin=bias_margin,
            loss_margin=loss_margin,
            days=days,
            experiment=experiment,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        ),
        LEARN,
    )
    with dsl.If(found.outputs["Output"] == "retrain", name="due"):
        dataset = task_of(
            build_dataset(catalog=found.outputs["catalog"], events=found.outputs["events"]), LIGHT
        ).outputs["dataset"]
        serving = found.outputs["serving"]
        tuned = fine_tune(dataset=dataset, serving=serving, seed=seed, epochs=epochs, rate=rate, threads=threads)
        model = task_of(tuned, LEARN).outputs["model"]
        compared = task_of(
            compare(
                dataset=dataset,
                model=model,
                serving=serving,
                bootstrap_resamples=bootstrap_resamples,
                threads=threads,
            ),
            LEARN,
            retries=0,
        )
        with dsl.If(compared.outputs["Output"] == "better", name="better-than-what-serves"):
            task_of(
                propose(model=model, report=compared.outputs["report"], dataset=dataset, experiment=experiment), LIGHT
            )
