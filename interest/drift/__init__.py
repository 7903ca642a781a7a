"""Drift: whether current data still come from where the reference data came from, and what moved."""
