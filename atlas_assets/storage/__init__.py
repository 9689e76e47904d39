"""The files of an atlas: formats, provenance, and the store that reads and writes them.

Nothing here knows Dagster or the Hub, or computes an artifact.
"""
