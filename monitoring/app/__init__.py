"""The dashboard: what the endpoint, its model and its experiments do, in a browser (docs/dashboard.md)."""
