"""Trains the embedded model: recipe, corpus as tokens, training, checkpoint, record and card."""
