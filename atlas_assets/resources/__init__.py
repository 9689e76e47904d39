"""What assets are given to work with: the model and the atlas's settings."""
