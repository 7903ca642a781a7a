"""The component `import_user_logs` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def import_user_logs(
    catalog: dsl.Input[dsl.Dataset],
    events: dsl.Output[dsl.Dataset],
    catalog_out: dsl.Output[dsl.Dataset],
    source: str,
    layout: str = "auto",
    max_rejected_share: float = 0.5,
    source_digest: str = "",
) -> None:
    """Bring users' own logs in, checked against the catalogue."""
    from components.runtime import run_step

    run_step(
        "import_user_logs",
        inputs={"catalog": catalog.path},
        outputs={"events": events.path, "catalog_out": catalog_out.path},
        params={"source": source, "layout": layout, "max_rejected_share": max_rejected_share},
        contents={"source_digest": source_digest},
    )
