"""Stage 16: the figures, one file each, with what it shows in words.

matplotlib is imported when a figure is drawn.
"""
