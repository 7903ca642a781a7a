"""The catalogue feed: a new video on topic `videos` becomes scorable within seconds, with no restart of anything."""
