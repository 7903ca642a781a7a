"""The dashboard's pages, a module each with `show()`."""

from monitoring.app.views import atlas, experiments, health, live, pipelines, video

__all__ = ["atlas", "experiments", "health", "live", "pipelines", "video"]
