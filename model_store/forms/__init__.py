"""Parts of documents that are stored in another form than they have in memory."""
