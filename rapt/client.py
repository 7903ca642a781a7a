"""The endpoint's typed client, where its users look for it: see `inference.client`."""

from inference.client import Client

__all__ = ["Client"]
