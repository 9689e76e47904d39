"""One module per stage: an asset loads, calls, returns. The science is in `atlas_assets.science`."""
