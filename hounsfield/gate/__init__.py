"""The release gate: a second, independent look at what de-identification gave.

``inspect`` scans the output files of one study against its raw files: sentinels of this very
patient in every element, text in the pixels, what the Standard asks of a de-identified object,
and `dciodvfy`. It shares tables, word lists and the OCR engine with `hounsfield.deid`, and no
code that cleans: a fault there must not blind the gate.
"""

from __future__ import annotations

import hounsfield.dicom  # noqa: F401  (makes pydicom lenient and silent)
from hounsfield.gate.gate import Output, inspect
from hounsfield.gate.render import render
from hounsfield.gate.report import Check, Finding, GateReport, Region

__all__ = ["Check", "Finding", "GateReport", "Output", "Region", "inspect", "render"]
