"""Stage 16: the figures, one file each.

matplotlib is imported when a figure is drawn.
"""
