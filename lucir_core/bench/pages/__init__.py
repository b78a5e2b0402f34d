"""The page of results: tables, plots, published figures."""
