"""The paper's figures, drawn from the tables and masks of an atlas; the only user of matplotlib."""
