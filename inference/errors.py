"""Every failure of the serving side by name; the message says what, which value, and what to do next."""


class InferenceError(Exception):
    """Root of the named failures of `inference`."""


class PortTaken(InferenceError):
    """An address that a worker is to answer at cannot be listened on."""
