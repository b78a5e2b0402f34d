"""The benchmark: protocols and data sets of the papers, a resumable runner, results as JSON, the page of results."""
