"""Event logs to training samples; one adapter a public layout."""
