"""Join two catalogues."""
