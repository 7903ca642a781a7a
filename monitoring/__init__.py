"""Label join, drift and quality jobs, experiment operator, dashboards (built later)."""
