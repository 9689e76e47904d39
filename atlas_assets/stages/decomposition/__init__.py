"""Stage 14: what of a circuit is concept and what is token (paper §6)."""
