"""One update in progress: its documents, its services, the versions it starts from and makes."""
