"""Django's Postgres, with connections of the pool looked at and not asked: see `base`."""
