"""The child process that trains or edits, and its parent's side."""
