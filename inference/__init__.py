"""KServe predictor, transformer and explainer; viewer state from Kafka (built next)."""
