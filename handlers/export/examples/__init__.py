"""Programs that are written beside an exported model; there they need nothing of this service."""
