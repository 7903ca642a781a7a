"""Every failure of the operator's surface by name; the message says what, which value, what to do next."""


class RaptError(Exception):
    """Root of the named failures of `rapt`; the CLI prints it as one line."""


class InvalidSettings(RaptError):
    """A configuration file or variable with an unknown key or a value that is not allowed."""


class PortInUse(RaptError):
    """A port that the stack needs is held by another process."""


class ServiceFailed(RaptError):
    """A process of the laptop's stack that ended, or did not answer, before its deadline."""


class MissingProgram(RaptError):
    """A program or package that the laptop's stack needs is not installed."""


class NoModel(RaptError):
    """A command needs a published model and the store holds none."""


class InvalidOption(RaptError):
    """An option of a command with a value that cannot work; nothing was started."""


class InvalidEvents(RaptError):
    """Events that the feeder would not take; none of them was sent."""


class NoWorld(RaptError):
    """A model whose viewers are not simulated, so that nobody knows how they would react."""


class ClusterFailed(RaptError):
    """A step on the cluster that failed or did not end in its time; the message holds what the cluster says of it."""
