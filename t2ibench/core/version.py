"""The version: a literal, so that a build reads it and imports nothing."""

__version__ = "0.1.0"
