"""Pages of Markets. Everybody of the tenant looks; traders and owners change."""
