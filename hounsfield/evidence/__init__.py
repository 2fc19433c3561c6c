"""Evidence of de-identification: a certificate per study, and a method statement per project.

Both are written from what was done and from the live configuration, never by hand.
"""

from __future__ import annotations

from hounsfield.evidence.certificate import Certificate, write_page
from hounsfield.evidence.statement import MethodStatement

__all__ = ["Certificate", "MethodStatement", "write_page"]
