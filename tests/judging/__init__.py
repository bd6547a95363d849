"""What is judged, and on which tables."""
