"""The modalities and the logit's terms by name and order; here so that serving knows them without torch."""

MODALITIES = ("video", "audio", "text")
TERMS = ("viewer", "length", *MODALITIES)
"""The additive terms of the logit, in the order of `Scores.contributions`."""
