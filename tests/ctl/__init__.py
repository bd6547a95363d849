"""Tests of jobmonctl."""
