"""What updater and follower have in common as processes: start, HTTP pages, status, a clean stop."""
