"""One module per stage: an asset loads, calls, returns; the science is elsewhere."""
