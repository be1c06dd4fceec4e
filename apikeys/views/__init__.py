"""HTTP for API keys: parse, act, answer. One URL, one act."""
