"""Talking to the Hugging Face Hub: one client, its retries, its errors, what a log may show.

A low room, which models use as well. What an atlas is on the Hub is in `atlas_assets.hub`.
"""
