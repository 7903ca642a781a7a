"""Every failure of the label joiner by name; the message says what, which value, and what to do next."""


class LabelsError(Exception):
    """Root of the label joiner's named failures."""


class InvalidLabelSettings(LabelsError):
    """A setting of the joiner that is malformed or out of range."""


class PartitionsDiffer(LabelsError):
    """The two topics have different numbers of partitions: a viewer's exposures and events would not meet."""


class AnotherJoiner(LabelsError):
    """Another joiner has taken over the observations."""
