"""What a person changes over HTTP: who may, and each kind of change."""
