"""The dashboard's pages, a module each with `show()`."""

from monitoring.app.views import experiments, live, video

__all__ = ["experiments", "live", "video"]
