"""Turning a video file and its caption into tensors: frames, sound, text."""
