"""Joins exposures with what viewers did about them: observations, each label of the same age."""
