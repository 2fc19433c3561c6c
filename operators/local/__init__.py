"""The embedded default: all services on one machine, under one folder, on loopback.

``python -m operators.local up | demo | down | clean``; the Makefile's targets call it.
"""
