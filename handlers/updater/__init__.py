"""The sidecar that learns: watches the store for dropped folders, learns them, publishes, keeps the server current."""
