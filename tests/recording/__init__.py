"""Runs logged from Python, and the spool."""
