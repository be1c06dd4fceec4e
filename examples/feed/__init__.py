"""A sample feed behind the guard: made-up matches and markets, by REST and as a stream.

It shows an integrator that keys, scopes and market switches act. In production the real feed stands
in its place.
"""
