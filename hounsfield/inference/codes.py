"""The coded concepts that the models here report with (PS3.16).

What DICOM has no code for carries one of our own scheme, whose designator begins with 99
as PS3.3 Section 8.2 asks of private schemes.
"""

from __future__ import annotations

from hounsfield.records import Code

__all__ = [
    "ANATOMICAL_STRUCTURE",
    "EMPHYSEMA_INDEX",
    "HOUNSFIELD_UNIT",
    "LONG_AXIS",
    "LUNG",
    "MEAN_DENSITY",
    "MILLILITRE",
    "MILLIMETRE",
    "MM3",
    "MORPHOLOGICALLY_ABNORMAL_STRUCTURE",
    "NODULE",
    "PERCENT",
    "PERCENTILE_15",
    "VOLUME",
]

# CID 7150 "Segmentation Property Categories".
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
MORPHOLOGICALLY_ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")

NODULE = Code("27925004", "SCT", "Nodule")
LUNG = Code("39607008", "SCT", "Lung")

LONG_AXIS = Code("103339001", "SCT", "Long Axis")  # CID 7470
VOLUME = Code("118565006", "SCT", "Volume")  # CID 7468

#: Share of lung voxels below -950 HU (Gevenois et al., AJRCCM 1996).
EMPHYSEMA_INDEX = Code("LAA950", "99HOUNSFIELD", "Emphysema index")
MEAN_DENSITY = Code("MLD", "99HOUNSFIELD", "Mean lung density")
#: The density that 15 % of the lung lies below (Parr et al., Respir Res 2008).
PERCENTILE_15 = Code("PERC15", "99HOUNSFIELD", "15th percentile of lung density")

MILLIMETRE = Code("mm", "UCUM", "millimeter")
MM3 = Code("mm3", "UCUM", "cubic millimeter")
MILLILITRE = Code("ml", "UCUM", "milliliter")
PERCENT = Code("%", "UCUM", "Percent")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
