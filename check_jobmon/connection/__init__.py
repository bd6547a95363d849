"""The one way to a database, and what its errors mean."""
