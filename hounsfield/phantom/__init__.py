"""Made-up patients: chests with known lesions, and the studies a hospital would have of them."""

from hounsfield.phantom.chest import ChestPhantom, chest_volume
from hounsfield.phantom.identity import Canary
from hounsfield.phantom.lesions import Lesion
from hounsfield.phantom.report import GROUND_TRUTH, PhantomReport, PhantomSeries, PhantomStudy
from hounsfield.phantom.writing import Progress, write_phantoms

__all__ = [
    "GROUND_TRUTH",
    "Canary",
    "ChestPhantom",
    "Lesion",
    "PhantomReport",
    "PhantomSeries",
    "PhantomStudy",
    "Progress",
    "chest_volume",
    "write_phantoms",
]
