"""Named failures of the joiner; each ends it, since no waiting mends it."""


class LabelsError(Exception):
    """Root of the joiner's named failures."""


class AnotherJoiner(LabelsError):
    """Somebody else has written since: of two joiners the newer one goes on."""


class UnequalPartitions(LabelsError):
    """Topics `exposures` and `events` must have the same number of partitions, so that a viewer's lie in the same."""


class InvalidLabelSettings(LabelsError):
    """A setting of the joiner that is not allowed; the message names it."""
