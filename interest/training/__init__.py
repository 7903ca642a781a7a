"""From samples and features to weights: content encoders first, then the fusion on their embeddings."""
