"""Where a checkpoint lies and which one it is: resolving, digests, tokenizer. Imports no torch."""
