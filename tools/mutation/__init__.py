"""Whether the tests notice when a hold, a precondition or a sync is taken out."""
