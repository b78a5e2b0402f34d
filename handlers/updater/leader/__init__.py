"""Which updater is active, and that no other writes."""
