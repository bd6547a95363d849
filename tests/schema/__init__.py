"""Tests of the bundled schema: what the SQL functions do, and bootstrap."""
