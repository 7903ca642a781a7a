"""Step `preprocess_video`: see step.py."""
