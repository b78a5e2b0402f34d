"""What an update did, for people: ``report.json`` and ``report.html`` beside each version."""
