"""Real nginx with the configuration that is shipped, and what stands behind it."""
