"""What a site decides about its result objects: configs/outputs.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hounsfield.settings import Frozen

__all__ = ["OutputSettings", "ReportSettings", "SegmentationSettings"]

_SeriesNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
_LongString = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$")]


class SegmentationSettings(Frozen):
    """Of the SEG.

    Attributes
    ----------
    type
        SegmentationType (0062,0001). BINARY has the widest support in viewers; LABELMAP is
        a SOP class of its own.
    """

    type: Literal["BINARY", "LABELMAP"] = "BINARY"
    series_number: _SeriesNumber = 9101


class ReportSettings(Frozen):
    """Of the SR. `language` is an RFC 5646 tag (PS3.16 CID 5000)."""

    series_number: _SeriesNumber = 9102
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")] = "en-US"
    language_meaning: _LongString = "English (United States)"


class OutputSettings(Frozen):
    """configs/outputs.yaml; read it with ``hounsfield.settings.parse``."""

    manufacturer: _LongString = "Hounsfield"
    device_serial_number: _LongString = "1"
    segmentation: SegmentationSettings = SegmentationSettings()
    report: ReportSettings = ReportSettings()
