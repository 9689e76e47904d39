"""The atlas on one page: what it says, gathered from the store, and how it is laid out."""
