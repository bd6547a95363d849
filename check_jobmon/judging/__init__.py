"""What is read of a job log, how each job is judged, and how the result is worded."""
