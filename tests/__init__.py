"""The tests: they mirror the package; system/ drives real daemons; benchmarks/ measures."""
