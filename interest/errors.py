"""Every failure of the domain by name; the message says what, which value, and what to do next."""


class InterestError(Exception):
    """Root of the domain's named failures; the CLI prints it as one line."""


class InvalidRecord(InterestError):
    """A record (video, event, row of a table) breaks its contract."""


class InvalidVideo(InterestError):
    """A media file that cannot be read as video or sound."""


class InvalidBundle(InterestError):
    """A model bundle that is tampered with, truncated, or made for another version."""


class InvalidSetting(InterestError):
    """A setting or parameter outside of what is allowed."""


class NotEnoughData(InterestError):
    """A step needs more rows, videos or viewers than it was given."""


class InvalidExperiment(InterestError):
    """An experiment that cannot be run as it is written."""
