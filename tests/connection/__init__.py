"""What a session is protected from."""
