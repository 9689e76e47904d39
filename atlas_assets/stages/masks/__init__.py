"""Stage 13: binary masks at a setting (ε, C), and how alike two masks are."""
