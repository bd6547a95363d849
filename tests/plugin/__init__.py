"""The plugin, run as a monitoring server runs it."""
