"""Everything that answers the outside world: HTTP requests, bucket events, a person at a terminal."""
