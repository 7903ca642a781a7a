"""Experiments on Kubernetes: resources as the records, InferenceServices as the world of the same reconciler."""
