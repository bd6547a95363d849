"""Connects to databases, and explains their errors."""
