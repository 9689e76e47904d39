"""What `import atlas_assets` offers: reading a model, masks, building and opening an atlas.

A thin layer over the functions that the assets use; nothing is computed here. What these names
give is imported when they are first used (`atlas_assets.__getattr__`).
"""
