"""Tests that drive the real daemons around the plugin: each starts its own, as an ordinary user, and stops it."""
