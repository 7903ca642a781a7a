"""Small pipelines, each with one trap in it; kfp reads their source, so they stand in a file."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count() -> int:
    from components.runtime import run_step

    return run_step("count", inputs={}, outputs={}, params={})["count"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def choose(word: str = "", words: list = [], table: dict = {}) -> str:  # noqa: B006
    from components.runtime import run_step

    return run_step("choose", inputs={}, outputs={}, params={"word": word})["word"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def make(data: dsl.Output[dsl.Dataset], word: str = "") -> None:
    from components.runtime import run_step

    run_step("make", inputs={}, outputs={"data": data.path}, params={"word": word})


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def use(data: dsl.Input[dsl.Dataset]) -> None:
    from components.runtime import run_step

    run_step("use", inputs={"data": data.path}, outputs={}, params={})


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gather(words: list[str]) -> None:
    from components.runtime import run_step

    run_step("gather", inputs={}, outputs={}, params={"words": words})


@dsl.component(base_image=IMAGE)
def installs() -> None:
    from components.runtime import run_step

    run_step("installs", inputs={}, outputs={}, params={})


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def elsewhere() -> None:
    from components.runtime import run_step

    run_step("elsewhere", inputs={}, outputs={}, params={})


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def thick(word: str) -> str:
    from components.runtime import run_step

    longer = word + "!"
    return run_step("thick", inputs={}, outputs={}, params={"word": longer})["word"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def nested(word: str) -> str:
    from components.runtime import run_step

    return run_step("nested", inputs={}, outputs={}, params={"word": word.upper()})["word"]


@dsl.container_component
def shell() -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=["hello"])


@dsl.pipeline
def numeric_condition() -> None:
    counted = count().set_caching_options(False)
    with dsl.If(counted.output > 0):
        choose().set_caching_options(False)


@dsl.pipeline
def container_component() -> None:
    shell().set_caching_options(False)


@dsl.pipeline
def importer() -> None:
    found = dsl.importer(artifact_uri="s3://bucket/data", artifact_class=dsl.Dataset, reimport=True)
    use(data=found.output).set_caching_options(False)


@dsl.pipeline
def artifact_one_of() -> None:
    word = choose().set_caching_options(False)
    with dsl.If(word.output == "a"):
        one = make(word="a").set_caching_options(False)
    with dsl.Else():
        other = make(word="b").set_caching_options(False)
    use(data=dsl.OneOf(one.outputs["data"], other.outputs["data"])).set_caching_options(False)


@dsl.pipeline
def collected_loop(words: list[str] = ["a"]) -> None:  # noqa: B006
    with dsl.ParallelFor(words) as word:
        chosen = choose(word=word).set_caching_options(False)
    gather(words=dsl.Collected(chosen.output)).set_caching_options(False)


@dsl.pipeline
def rewritten_string(program: str = "/usr/bin/python3") -> None:
    choose(word=program).set_caching_options(False)


@dsl.pipeline
def rewritten_constant() -> None:
    choose(word="python3.11").set_caching_options(False)


@dsl.pipeline
def whole_number_inside(table: dict = {"sizes": [1, 2]}) -> None:  # noqa: B006
    choose(table=table).set_caching_options(False)


@dsl.pipeline
def installs_packages() -> None:
    installs().set_caching_options(False)


@dsl.pipeline
def other_image() -> None:
    elsewhere().set_caching_options(False)


@dsl.pipeline(pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
def workspace() -> None:
    choose(word=dsl.WORKSPACE_PATH_PLACEHOLDER).set_caching_options(False)


@dsl.pipeline
def platform_cache() -> None:
    choose()


@dsl.pipeline
def thick_component() -> None:
    thick(word="a").set_caching_options(False)


@dsl.pipeline
def thick_call() -> None:
    nested(word="a").set_caching_options(False)


BAD = {
    "numeric-condition": [numeric_condition],
    "container-component": [container_component],
    "importer": [importer],
    "artifact-one-of": [artifact_one_of],
    "collected-loop": [collected_loop],
    "rewritten-string": [rewritten_string, rewritten_constant],
    "whole-number-inside": [whole_number_inside],
    "installs-packages": [installs_packages],
    "other-image": [other_image],
    "workspace": [workspace],
    "platform-cache": [platform_cache],
    "thick-component": [thick_component, thick_call],
}
