"""What `bin/run`, `bin/manage` and `bin/test` do once a Python is found.

`bootstrap` makes the virtual environment on a bare Python and hands over to this package's
`__main__`, which keeps Postgres, Django's commands and the server together and ends them together.
"""
