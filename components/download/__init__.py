"""Bring the bytes of videos from the web or the disk into the object store, and list them in a catalogue."""
