"""Measurements beside the peer one would use otherwise: a printed table, and build/bench."""
