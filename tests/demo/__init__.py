"""The demo and its server."""
