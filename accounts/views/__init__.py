"""HTTP for accounts: parse, act, answer. One URL, one act."""
