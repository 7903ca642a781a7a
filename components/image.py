"""The image that every component runs in; `pipelines.compile` can put another one in its place."""

IMAGE = "rapt/training:0.1.0"
