"""The work behind ``lucir bench``: runs of the papers' protocols, suites, speed."""
