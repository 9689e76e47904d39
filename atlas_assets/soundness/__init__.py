"""Whether the files of an atlas are sound, and whether the paper's claims hold in it.

Recomputes and compares; knows neither Dagster nor the Hub.
"""
