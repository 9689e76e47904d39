"""Programs for this project's own maintenance; not shipped to users."""
