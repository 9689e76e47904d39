"""An atlas as a whole: opening it, the state of its files, versions, comparing several.

Knows neither Dagster nor what is published.
"""
