"""The dashboard's own failures; each is shown on the page with what to do next."""


class AppError(Exception):
    """Root of the dashboard's named failures."""


class NoModel(AppError):
    """The store holds no model that serves."""


class EndpointUnset(AppError):
    """The address of the serving endpoint is not set."""


class NoPipelines(AppError):
    """Neither a folder of runs nor the address of Kubeflow Pipelines is set."""


class PipelinesUnavailable(AppError):
    """Kubeflow Pipelines does not answer, or not as it should."""
