"""Fetches atlases from the Hugging Face Hub, and publishes them there."""
