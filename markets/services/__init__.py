"""Acts on the catalogue and on what tenants chose of it."""
