"""Every failure of a pipeline by name; the message says what, which value, and what to do next."""


class PipelineError(Exception):
    """Root of the named failures of `pipelines`; the CLI prints it as one line."""


class UnknownPipeline(PipelineError):
    """A name that is no pipeline."""


class InvalidArgument(PipelineError):
    """An argument that the pipeline does not have, lacks, or of another type."""


class PipelineNotPortable(PipelineError):
    """A pipeline that would work on a laptop or on a cluster only."""


class StepFailed(PipelineError):
    """A step of a local run that failed."""


class ClusterUnset(PipelineError):
    """No address of a Kubeflow Pipelines API is known."""


class ClusterUnreachable(PipelineError):
    """The Kubeflow Pipelines API does not answer, or only with a server's error; it may soon."""


class ClusterRefused(PipelineError):
    """The Kubeflow Pipelines API refuses a request, and would again: HTTP 4xx."""


class InvalidSchedule(PipelineError):
    """A cron expression or an interval that the cluster would refuse, or take for another one."""


class RunFailed(PipelineError):
    """A run on the cluster that failed or was stopped."""


class RunFolderUnusable(PipelineError):
    """The folder for a run's files cannot be written."""
