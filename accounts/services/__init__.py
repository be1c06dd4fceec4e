"""Acts: each a verb with its actor, its origin and its record, in one transaction."""
