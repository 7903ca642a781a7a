"""Every failure of handing dashboards to a Grafana by name; the message says what, which value, and what to do next."""


class DashboardsError(Exception):
    """Root of the named failures of dashboards."""


class InvalidGrafana(DashboardsError):
    """An address that is none of a Grafana."""


class GrafanaUnavailable(DashboardsError):
    """A Grafana that does not answer, or not as one."""


class GrafanaRefused(DashboardsError):
    """A Grafana that answered and would not have it."""
