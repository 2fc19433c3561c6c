"""Results as the PACS wants them: a prediction and its mask become SEG, SR and a picture.

This is where a result meets the patient again. It works on the original, identified source
images; what it gives back belongs to their patient and study and goes nowhere but there.
"""

from __future__ import annotations

from hounsfield.results.contribution import name_profile
from hounsfield.results.evidence import ResultObject, describe, part10
from hounsfield.results.outputs import OutputSettings
from hounsfield.results.picture import render_finding
from hounsfield.results.report import Predecessor, build_sr
from hounsfield.results.segmentation import build_seg
from hounsfield.results.sources import SourceImages

__all__ = [
    "OutputSettings",
    "Predecessor",
    "ResultObject",
    "SourceImages",
    "build_seg",
    "build_sr",
    "describe",
    "name_profile",
    "part10",
    "render_finding",
]
