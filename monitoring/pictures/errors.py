"""Every failure of drawing by name; the message says what, which value, and what to do next."""


class PictureError(Exception):
    """Root of the named failures of pictures."""


class InvalidPicture(PictureError):
    """A file that no picture can be written to."""
