"""Identifiers, configurations, settings and errors that every other package shares. No I/O, no clock."""
