"""configs/site.yaml: what one site is, where it keeps what, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hounsfield.settings.fields import Region, Regions, Root, RootPrefix, Text
from hounsfield.settings.files import Frozen

__all__ = ["IN_REGION", "SiteFile", "StoreSettings", "VolumeSettings", "Zone"]

#: What stands for the region in a root that is one of each.
IN_REGION = "{region}"
# fmt: off
Zone = Literal[
    "raw", "deid", "volumes", "datasets", "results", "objects", "quarantine", "review", "evidence"
]
# fmt: on


class Databases(Frozen):
    catalog: str
    vault: str


class Tracking(Frozen):
    """Where MLflow is: the tracking store's URI, and the root of its artefacts."""

    uri: str
    artifacts: str = ""


class VolumeSettings(Frozen):
    """How volumes are made.

    Attributes
    ----------
    recipe
        ``unsharded``: a file a chunk, for local disks. ``sharded``: few files, for object
        stores and random crops.
    resample_tilt
        Undo a tilted gantry by interpolation; results then cannot be drawn on the slices as
        they were scanned. Else the tilt stands in the affine.
    workers
        Slabs of a volume, or series of a folder, that are made at once.
    memory_mib
        What the pixels that are held meanwhile stay under.
    dask
        Address of a ``distributed`` scheduler whose workers see the same folders; empty: this
        machine's threads.
    """

    recipe: Literal["unsharded", "sharded"] = "unsharded"
    resample_tilt: bool = False
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    memory_mib: Annotated[int, Field(ge=64)] = 1024
    dask: Text = ""


class StoreSettings(Frozen):
    """How a store is reached, and what is asked of it for each object that is written.

    All but `options` is for S3 and what speaks it. Credentials stay out: `options` may name a
    ``profile``, and what the environment holds is found by itself.

    Attributes
    ----------
    options
        fsspec's ``storage_options``.
    storage_class
        Such as ``STANDARD_IA`` or ``DEEP_ARCHIVE``. Manifests always lie in the bucket's own, so
        that what is where is known without a recall.
    kms_key_id
        The key that the store encrypts with (SSE-KMS).
    lock_mode, lock_days
        Object lock: for so many days nobody deletes a version, ``COMPLIANCE`` not even an
        administrator. The bucket has to be versioned, and made with it.
    recall_speed, recall_days, recall_poll_seconds
        How what lies in an archive is asked for, how long it stays readable then, and how often
        it is asked whether it is.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    storage_class: Text = ""
    kms_key_id: Text = ""
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] | None = None
    lock_days: Annotated[int, Field(ge=0)] = 0
    recall_speed: Literal["Expedited", "Standard", "Bulk"] = "Standard"
    recall_days: Annotated[int, Field(ge=1)] = 7
    recall_poll_seconds: Annotated[float, Field(gt=0)] = 900.0

    @model_validator(mode="after")
    def _whole_lock(self) -> Self:
        if (self.lock_mode is None) != (self.lock_days == 0):
            raise ValueError("an object lock has both a lock_mode and lock_days")
        return self

    @model_validator(mode="after")
    def _recalled_as_fast_as_it_can_be(self) -> Self:
        if (self.storage_class, self.recall_speed) == ("DEEP_ARCHIVE", "Expedited"):
            raise ValueError("from DEEP_ARCHIVE nothing comes Expedited: recall_speed is too fast")
        return self


class SiteFile(Frozen):
    """configs/site.yaml

    Attributes
    ----------
    region
        Where the site itself is. A root with ``{region}`` in it, of a zone or a tier, is one of
        each region; any other belongs to this one alone.
    regions
        The others that sources may name. All zones then have ``{region}``, but for ``evidence``;
        a tier that has none is of the site's own region, and nothing of another moves there.
    stores
        By the beginning of a root, of a zone or a tier: the longest that fits it counts.
    need_dciodvfy
        A study does not pass the release gate unasked where that program is not installed.
    deface
        Cut the faces out of volumes of heads (:mod:`hounsfield.volume.deface`).
    volumes
        How they are made.
    """

    project: str
    key_version: int = 1
    key_file: Path
    region: Region = ""
    regions: Regions = ()
    deid_profile: str = "research"
    need_dciodvfy: bool = False
    deface: bool = False
    volumes: VolumeSettings = VolumeSettings()
    zones: dict[Zone, Root]
    stores: dict[RootPrefix, StoreSettings] = Field(default_factory=dict)
    databases: Databases
    mlflow: Tracking
    docs: Path

    @model_validator(mode="after")
    def _at_home(self) -> Self:
        if self.regions and not self.region:
            raise ValueError("a site with regions is in one itself: give region, too")
        return self

    @property
    def every_region(self) -> tuple[str, ...]:
        """The site's own first."""
        return tuple(dict.fromkeys((self.region, *self.regions)))
