"""Scores candidates with one bundle: swapped without a failed request, its catalogue grown by the stream."""
