"""Evidence: certificates of a de-identified study and of an erasure, and the method statement.

All are written from what was done and from the live configuration, never by hand.
"""

from __future__ import annotations

from hounsfield.evidence.certificate import Certificate
from hounsfield.evidence.erasure import ErasureCertificate
from hounsfield.evidence.statement import MethodStatement

__all__ = ["Certificate", "ErasureCertificate", "MethodStatement"]
