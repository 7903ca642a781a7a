"""Keeps experiments going: follows their data, decides, and makes the world as decided."""
