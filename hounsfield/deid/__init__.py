"""De-identification: PS3.15 Annex E as tables, a walker that applies them, and burned-in text.

``Profile`` says which options of the Standard are on; ``Deidentifier`` applies it to datasets
and studies; ``deidentify_folder`` to any folder of a person at a terminal; ``explain`` tells
which rule acts on a tag, and why. Known limits: a face can be rebuilt from a head scan, and
where somebody may be heard, in a waveform or a film, an object is refused, not cleaned.
"""

from __future__ import annotations

import hounsfield.dicom  # noqa: F401  (makes pydicom lenient and silent)
from hounsfield.deid.deidentifier import Deidentifier
from hounsfield.deid.explain import Explanation, explain
from hounsfield.deid.folder import REPORT, deidentify_folder
from hounsfield.deid.identifiers import (
    KnownIdentifiers,
    own_identity,
    patient_identity,
    whole_identity,
)
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.reports import (
    FolderReport,
    HeaderRecord,
    InstanceRecord,
    PixelRecord,
    StudyReport,
)

__all__ = [
    "REPORT",
    "Deidentifier",
    "Explanation",
    "FolderReport",
    "HeaderRecord",
    "InstanceRecord",
    "KnownIdentifiers",
    "PixelRecord",
    "Profile",
    "Recipe",
    "StudyReport",
    "deidentify_folder",
    "explain",
    "own_identity",
    "patient_identity",
    "whole_identity",
]
