"""Stage 17: the paper's claims, and the pages that are written for readers."""
