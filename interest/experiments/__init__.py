"""Experiments on viewers: who sees which arm."""
