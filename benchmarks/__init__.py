"""`make bench`: the numbers in the documentation, measured on this machine."""
