"""How the serving model is doing: looked at all the time (look, metrics), reported with Evidently by a job."""
