"""Benchmarks: each is a module to run by hand, sets up what it needs, and prints ratios from one run."""
