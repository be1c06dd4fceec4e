"""The machine door: what API keys open. ASGI, without Django in the path of a request."""
