"""The domain: videos, viewers, features, models, the simulated world. No network in here."""
