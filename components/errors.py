"""Every failure of a component by name; the message says what, which value, and what to do next."""


class ComponentError(Exception):
    """Root of the named failures of `components`; the CLI prints it as one line."""


class TooManyRejected(ComponentError):
    """A step could use too small a share of its items."""


class InputMissing(ComponentError):
    """A step's input that is not there."""


class OutputMissing(ComponentError):
    """A step that ended well but did not write one of its outputs."""


class DiskFull(ComponentError):
    """No space left where a step writes: its run folder, its cache, or the folder of temporary files."""
