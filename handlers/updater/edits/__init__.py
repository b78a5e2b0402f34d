"""Changes of what is known that need no training: rename, merge and remove classes, delete single images."""
