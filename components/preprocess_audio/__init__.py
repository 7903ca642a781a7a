"""Step `preprocess_audio`: see step.py."""
