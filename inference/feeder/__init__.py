"""The process that follows the topic `events` and keeps the viewers' states."""
