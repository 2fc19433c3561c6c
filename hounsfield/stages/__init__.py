"""One use case a file. Each takes the site, a study key and who runs it, and gives a small dict.

Stages are idempotent: they look for their product first, and make it only where it is missing.
"""
