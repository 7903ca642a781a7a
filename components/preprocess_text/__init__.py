"""Step `preprocess_text`: see step.py."""
