"""Changes of what is known: classes renamed, merged, removed, images deleted; and what the archive has to learn."""
