"""All that crosses a process boundary: object store, downloads, and later Kafka."""
