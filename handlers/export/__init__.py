"""A version as a folder that runs elsewhere, without this service."""
