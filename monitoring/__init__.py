"""Label join, drift and quality jobs, experiment operator, alerts and dashboards."""
