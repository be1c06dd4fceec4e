"""The messaging feed: what each tenant has on the broker, and who put it there."""
