"""What a site configures."""
