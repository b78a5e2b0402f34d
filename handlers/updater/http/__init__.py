"""The updater's HTTP: the operator's page, metrics, status, requests for changes."""
