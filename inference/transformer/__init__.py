"""The endpoint: a viewer and candidates in, probabilities out, with all that the viewer did up to a moment ago."""
