"""The pipelines by name."""

from pipelines.monitoring import monitoring
from pipelines.retraining import retraining
from pipelines.training import training, training_from_logs

PIPELINES = {
    "training": training,
    "training_from_logs": training_from_logs,
    "retraining": retraining,
    "monitoring": monitoring,
}
