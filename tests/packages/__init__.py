"""Tests that build the packages and the pages, and install them as their users do."""
