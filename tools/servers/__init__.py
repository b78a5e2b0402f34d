"""S3 servers for tests and benchmarks: scripts that install them, and each as a context manager."""
