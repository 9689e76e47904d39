"""Stage 15: what is read off the masks, one file per analysis."""
