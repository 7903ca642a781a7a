"""Grafana's dashboards as code: what they show (one module each), made into JSON, put into a Grafana."""
