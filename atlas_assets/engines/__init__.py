"""Engines that run batches in other processes than this one, and what their workers do.

The engine that is always there, threads of this process, is `atlas_assets.extraction.engine`.
"""
