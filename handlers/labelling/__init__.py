"""Images that a version was unsure of, kept for a person to label."""
