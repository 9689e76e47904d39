"""Trains the embedded model: corpus, tokenizer, recipe, loop, record and card.

Run as ``python -m tools.train_embedded`` (`make train-embedded`) from the repository.
"""
