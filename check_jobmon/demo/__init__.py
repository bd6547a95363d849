"""jobmonctl demo, and the embedded PostgreSQL server that it and the tests use."""
