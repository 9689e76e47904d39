"""Files whatever is in them: their places, digests, locks, and writes that are atomic.

The lowest room. Formats are in `atlas_assets.storage`.
"""
