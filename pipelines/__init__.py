"""Kubeflow pipelines: the same functions run locally, compile, and are submitted to a cluster."""
