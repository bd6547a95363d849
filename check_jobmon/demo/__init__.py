"""jobmonctl demo, and the PostgreSQL server of a Python package that it and the tests use."""
