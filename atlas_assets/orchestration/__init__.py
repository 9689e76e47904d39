"""The atlas in Dagster: assets, IO managers, checks, jobs, partitions, sensors.

The only room that imports Dagster. It translates and computes nothing itself.
"""
