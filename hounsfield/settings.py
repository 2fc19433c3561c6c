"""Settings: YAML under configs/, parsed once into frozen objects. Unknown keys are refused.

Values may name environment variables, ``${NAME}`` or ``${NAME:-default}``, so that one file
serves a laptop and a hospital. Secrets are never in these files: the project key comes from
``HOUNSFIELD_PROJECT_KEY`` or a file outside the repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hounsfield.errors import ConfigError

__all__ = [
    "IN_REGION",
    "CommitmentSettings",
    "DestinationSettings",
    "DriftSettings",
    "Frozen",
    "Reached",
    "ReceiverSettings",
    "Settings",
    "SourceSettings",
    "StoreSettings",
    "Tier",
    "TierRule",
    "TierSettings",
    "VolumeSettings",
    "load_yaml",
    "parse",
]

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^${}]*))?\}")
_DOLLAR = "\x00"  # No YAML has it.
Kind = Literal["raw", "volume"]  # that has tiers
# fmt: off
Zone = Literal[
    "raw", "deid", "volumes", "datasets", "results", "objects", "quarantine", "review", "evidence"
]
# fmt: on


def _words(value: object) -> object:
    """What a variable of the environment holds is one text, or nothing."""
    return tuple((value or "").split()) if isinstance(value, str | None) else value


def _text(value: object) -> object:
    """YAML takes a variable that is empty for nothing."""
    return "" if value is None else value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error:
        raise ValueError("not a regular expression") from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
        raise ValueError("unknown time zone: such as Europe/Zurich") from None
    return value


#: A text; YAML takes none for nothing.
Text = Annotated[str, BeforeValidator(_text)]
#: What stands for the region in a root that is one of each.
IN_REGION = "{region}"
#: Part of the names of roots and of queues.
Region = Annotated[str, BeforeValidator(_text), Field(pattern=r"^[a-z0-9-]*$")]


class Frozen(BaseModel):
    """Base of every settings object."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Section = TypeVar("Section", bound=Frozen)


class Reached(Frozen):
    """How another system is reached: by DIMSE or by DICOMweb, one of the two.

    Attributes
    ----------
    peer
        Parsed by `hounsfield.pacs.DimsePeer`.
    web
        Parsed by `hounsfield.pacs.WebPeer`.
    proof
        That it has the results which it is sent. ``commitment``: Storage Commitment (PS3.4
        Annex J). ``query``: C-FIND or QIDO-RS at instance level. ``auto``: the first where it
        gives that in time, else the second.
    """

    peer: dict[str, Any] | None = None
    web: dict[str, Any] | None = None
    proof: Literal["auto", "commitment", "query"] = "auto"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.peer is None) == (self.web is None):
            raise ValueError("give either peer (DIMSE) or web (DICOMweb)")
        return self


class SourceSettings(Reached):
    """One source of studies: what to take from it, when, and when a study counts as whole.

    Attributes
    ----------
    modalities
        A study counts if it has a series of one of these, one word each where it is a string;
        empty: any.
    description
        A regular expression that the StudyDescription must match somewhere; empty: any.
    timezone
        In which StudyDate, StudyTime and the working hours are.
    working_hours
        ``HH:MM-HH:MM``, may cross midnight: the source is asked then, and only then. Empty:
        always.
    pause_seconds
        Rest after each study that is fetched, so that the source can serve others. The task
        rests in its slot of the pool: with one slot it lies between any two studies.
    confirm_after_seconds
        A study is whole when the source lists no more than is here, and still no more after
        so many seconds.
    give_up_after_seconds
        A study that is not whole so long after its last instance came is reported with what
        is missing.
    accept_incomplete
        Let such a study on all the same; its manifest then says ``incomplete``.
    lookback_days
        Days before its window that a scheduled run asks for, too: images that come later are
        fetched for so long. What has not changed is not fetched again.
    results
        The destination of results; empty: the source itself.
    jurisdiction
        Whose law says how long its studies are kept (configs/tiers.yaml).
    region
        Which its studies, and all that is made of them, may not leave: they lie in the roots of
        that region, and their tasks run on its queue. Empty: that of the site.
    """

    modalities: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    description: Annotated[Text, AfterValidator(_pattern)] = ""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    working_hours: Annotated[
        Text, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    ] = ""
    pause_seconds: Annotated[float, Field(ge=0)] = 0.0
    confirm_after_seconds: Annotated[float, Field(ge=0)] = 0.0
    give_up_after_seconds: Annotated[float, Field(ge=0)] = 3600.0
    accept_incomplete: bool = False
    lookback_days: Annotated[int, Field(ge=0, le=365)] = 1
    results: Text = ""
    jurisdiction: Text = ""
    region: Region = ""


class DestinationSettings(Reached):
    """Where results go, and how long it is tried.

    Attributes
    ----------
    first_retry_seconds, longest_retry_seconds
        A busy destination is tried again after the first, then after twice as long, and so
        on up to the second.
    give_up_after_seconds
        After so long without success the delivery fails, and a person must look.
    """

    first_retry_seconds: Annotated[float, Field(gt=0)] = 15.0
    longest_retry_seconds: Annotated[float, Field(gt=0)] = 900.0
    give_up_after_seconds: Annotated[float, Field(ge=0)] = 172_800.0


class SourcesFile(Frozen):
    """configs/sources.yaml"""

    sources: dict[str, SourceSettings]
    destinations: dict[str, DestinationSettings] = {}

    @model_validator(mode="after")
    def _known_destinations(self) -> Self:
        for name, source in self.sources.items():
            if source.results and source.results not in self.destinations:
                raise ValueError(f"source {name!r}: results names no destination")
        return self


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

    options: dict[str, Any] = {}
    storage_class: Annotated[str, BeforeValidator(_text)] = ""
    kms_key_id: Annotated[str, BeforeValidator(_text)] = ""
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
    regions: Annotated[tuple[Region, ...], BeforeValidator(_words)] = ()
    deid_profile: str = "research"
    need_dciodvfy: bool = False
    deface: bool = False
    volumes: VolumeSettings = VolumeSettings()
    zones: dict[Zone, str]
    stores: dict[str, StoreSettings] = {}
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


class TierRule(Frozen):
    """One row of the policy: the first that matches a product decides its tier.

    Attributes
    ----------
    older_than_days
        Since the study was acquired; since its product was made, where no date is known.
    unused_days
        Since anybody last opened the study, as the audit trail has it, or the product was made.
    modality
        The study has a series of it; ``*``: any.
    project
        State of the study's project, under ``projects``; ``*``: any.
    jurisdiction
        Under which the study came, as its source says; ``*``: any.
    retention
        Whether the law still demands that it is kept (``retention_years``): ``running``,
        ``over``, or ``*``. Where nothing is demanded it is over.
    legal_hold
        Whether this row is of studies on legal hold, or of the others.
    """

    kind: Kind
    to: str
    older_than_days: Annotated[int, Field(ge=0)] = 0
    unused_days: Annotated[int, Field(ge=0)] = 0
    modality: str = "*"
    project: Literal["active", "closed", "*"] = "*"
    jurisdiction: str = "*"
    retention: Literal["running", "over", "*"] = "*"
    legal_hold: bool = False


class Tier(Frozen):
    """One tier: where each kind of product lies in it, and what it costs there.

    Attributes
    ----------
    price
        Of a GB (10^9 bytes) in a month, in the site's currency.
    form
        ``files``: as they were made. ``packed``: one ZIP file for each series of a study as
        received, or for a volume.
    recode
        ``jpeg-ls``: uncompressed pictures of a study as received are packed in JPEG-LS lossless,
        each proven to give its file again byte for byte; where that fails, and with ``none``
        always, the original bytes are kept. The manifest says what was done.
    roots
        By kind; any URL that fsspec understands. How its store is reached and written to stands
        under ``stores`` in configs/site.yaml.
    copies
        By kind, where a second copy is kept; scrubbing makes it, and heals the one from the
        other.
    """

    price: Annotated[float, Field(ge=0)]
    form: Literal["files", "packed"] = "files"
    recode: Literal["none", "jpeg-ls"] = "none"
    roots: dict[Kind, str]
    copies: dict[Kind, str] = {}

    @model_validator(mode="after")
    def _packed_to_recode(self) -> Self:
        if self.recode != "none" and self.form != "packed":
            raise ValueError("only what is packed is recoded")
        return self


class TierSettings(Frozen):
    """configs/tiers.yaml: the tiers, and the policy as a table.

    Attributes
    ----------
    currency
        Of the prices.
    projects
        Those that are not ``active``.
    retention_years
        By jurisdiction: for so long after its acquisition a study has to be kept.
    """

    currency: str = "USD"
    tiers: dict[str, Tier]
    projects: dict[str, Literal["active", "closed"]] = {}
    retention_years: dict[str, Annotated[float, Field(ge=0)]] = {}
    rules: tuple[TierRule, ...]

    @model_validator(mode="after")
    def _known_tiers(self) -> Self:
        for rule in self.rules:
            if rule.to not in self.tiers or rule.kind not in self.tiers[rule.to].roots:
                raise ValueError(f"a rule moves {rule.kind} to {rule.to!r}, which has no such root")
        return self


class DriftSettings(Frozen):
    """configs/drift.yaml"""

    window_days: Annotated[int, Field(ge=1)] = 1
    reference_days: Annotated[int, Field(ge=1)] = 28
    minimum_studies: Annotated[int, Field(ge=2)] = 5
    drift_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    columns: tuple[str, ...]


class CommitmentSettings(Frozen):
    """Storage Commitment as SCP (PS3.4 Annex J).

    Attributes
    ----------
    peers
        By AE title: where a peer that has hung up listens for our report. Each is parsed by
        `hounsfield.pacs.DimsePeer`, whose ``ae_title`` it is.
    give_up_after_seconds
        A report that could not be brought by then is given up.
    remember_days
        How long an instance that was received is known by its UID after it left the landing
        folder. What is not known is reported as failed.
    """

    peers: dict[str, dict[str, Any]] = {}
    give_up_after_seconds: Annotated[float, Field(gt=0)] = 259_200.0
    remember_days: Annotated[int, Field(ge=1)] = 30


class ReceiverSettings(Frozen):
    """configs/receiver.yaml: the door for what is pushed to us.

    Attributes
    ----------
    source
        Of configs/sources.yaml, where results of pushed studies go; empty: the first there.
    quiet_seconds
        A study is taken when nothing more of it came for so long.
    retry_seconds
        First pause after a failure; it doubles up to 10 minutes.
    calling_ae_titles
        Who may call, one word each where it is a string; empty: everybody.
    networks
        From where, such as ``10.1.0.0/16``; empty: from everywhere.
    tls
        Parsed by `hounsfield.pacs.tls.Tls`; with ``ca``, callers must show a certificate.
    sop_classes
        Private ones to take, beside all of the Standard.
    transfer_syntaxes
        Private ones to take, and how data sets are encoded in each.
    associations
        How many at once, of all processes together.
    processes
        How many take instances; 1: the one that also admits studies.
    max_pdu
        The longest PDU that we ask for, in bytes.
    disk_share
        Of the disk with the landing folder: when more is used, associations are rejected for
        the time being (PS3.8 Table 9-21).
    associate_seconds
        For a connection to become an association (PS3.8 ARTIM).
    idle_seconds
        For the next whole PDU of an association.
    metrics_port
        On the loopback, for Prometheus; 0: none.
    """

    port: Annotated[int, Field(ge=1, le=65535)]
    bind: str
    ae_title: str
    landing: Path
    source: Text = ""
    quiet_seconds: Annotated[float, Field(ge=0)] = 30.0
    retry_seconds: Annotated[float, Field(ge=0.1)] = 15.0
    calling_ae_titles: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    tls: dict[str, Any] | None = None
    sop_classes: tuple[str, ...] = ()
    transfer_syntaxes: dict[str, Literal["explicit", "implicit", "big-endian", "deflated"]] = {}
    associations: Annotated[int, Field(ge=1, le=200)] = 32
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    max_pdu: Annotated[int, Field(ge=4096, le=1_048_576)] = 131_072
    disk_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    associate_seconds: Annotated[float, Field(gt=0)] = 15.0
    idle_seconds: Annotated[float, Field(gt=0)] = 90.0
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    commitment: CommitmentSettings = CommitmentSettings()

    @classmethod
    def load(cls, settings: Settings, environ: Mapping[str, str] | None = None) -> Self:
        """Reads configs/receiver.yaml of an installation.

        Raises
        ------
        ConfigError
            Naming the key that is unknown, missing or wrong.
        """
        variables = dict(os.environ if environ is None else environ)
        variables["HOUNSFIELD_HOME"] = str(settings.home)
        return parse(cls, settings.configs / "receiver.yaml", variables)

    def but(self, **given: object) -> Self:
        """With other values for what is given; None and nothing at all are not."""
        known = {key: value for key, value in given.items() if value not in (None, ())}
        return self.model_validate(self.model_dump() | known)


class Settings(Frozen):
    """All of configs/ but receiver.yaml, and where things are.

    Attributes
    ----------
    home
        Folder of everything that this installation writes by default (``HOUNSFIELD_HOME``).
    configs
        Folder of the YAML files (``HOUNSFIELD_CONFIGS``).
    models
        Folder of the bundles (``HOUNSFIELD_MODELS``).
    """

    home: Path
    configs: Path
    models: Path
    site: SiteFile
    sources: dict[str, SourceSettings]
    destinations: dict[str, DestinationSettings]
    tiers: TierSettings
    drift: DriftSettings

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads configs/ with the variables of `environ` (default: the process's).

        Raises
        ------
        ConfigError
            Naming the file and the key that is unknown, missing or wrong.
        """
        variables = dict(os.environ if environ is None else environ)
        root = Path(variables.get("HOUNSFIELD_ROOT", Path(__file__).resolve().parents[1]))
        home = Path(variables.get("HOUNSFIELD_HOME", root / ".hounsfield")).resolve()
        configs = Path(variables.get("HOUNSFIELD_CONFIGS", root / "configs"))
        variables["HOUNSFIELD_HOME"] = str(home)
        sources = parse(SourcesFile, configs / "sources.yaml", variables)
        site = parse(SiteFile, configs / "site.yaml", variables)
        _check_regions(site, sources)
        return cls(
            home=home,
            configs=configs,
            models=Path(variables.get("HOUNSFIELD_MODELS", root / "models")),
            site=site,
            sources=sources.sources,
            destinations=sources.destinations,
            tiers=parse(TierSettings, configs / "tiers.yaml", variables),
            drift=parse(DriftSettings, configs / "drift.yaml", variables),
        )

    def bundles(self, *, trained: bool) -> list[str]:
        """Names of the bundles that are trained, or else of those that compute what they say."""
        found = (path.parent for path in self.models.glob("*/configs/metadata.json"))
        return sorted(
            configs.parent.name for configs in found if (configs / "train.yaml").exists() == trained
        )


def load_yaml(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A YAML mapping with its variables filled in.

    Raises
    ------
    ConfigError
        If the file is missing, is not a mapping, or names a variable that is not set.
    """
    try:
        text = path.read_text()
    except OSError:
        raise ConfigError("the file cannot be read", where=f"configs/{path.name}") from None
    try:
        data = yaml.safe_load(_expand(text, os.environ if variables is None else variables, path))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigError("not YAML", where=f"configs/{path.name} line {line}") from None
    if not isinstance(data, dict):
        raise ConfigError("not a mapping of keys to values", where=f"configs/{path.name}")
    return data


def parse(
    section: type[Section], path: Path, variables: Mapping[str, str] | None = None
) -> Section:
    """A settings file as a frozen object.

    Raises
    ------
    ConfigError
        Naming the first key that is wrong and why.
    """
    try:
        return section.model_validate(load_yaml(path, variables))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(first["msg"], where=f"configs/{path.name}: {key}") from None


def _check_regions(site: SiteFile, file: SourcesFile) -> None:
    for zone, root in site.zones.items():
        if site.regions and IN_REGION not in root and zone != "evidence":  # No data of a study's.
            raise ConfigError(
                "the regions have no root of their own",
                where=f"configs/site.yaml: zones.{zone}",
                remedy=f"put {IN_REGION} into it, such as s3://hospital-{IN_REGION}/{zone}",
            )
    for region in site.every_region:  # A queue tells its region by how it ends.
        if any(other.endswith(f"-{region}") for other in site.every_region if region):
            raise ConfigError(
                f"a region's name ends with that of another, {region}",
                where="configs/site.yaml: regions",
                remedy="rename one of them",
            )
    for name, source in file.sources.items():
        if source.region not in ("", *site.every_region):
            raise ConfigError(
                f"there is no region {source.region!r}",
                where=f"configs/sources.yaml: sources.{name}.region",
                remedy="name it under regions in configs/site.yaml, or correct it",
            )


def _expand(text: str, variables: Mapping[str, str], path: Path) -> str:
    """Fills in variables, the innermost first, so that a default may name another.

    What a variable holds is taken as it is: a password may have a dollar and braces.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name in variables:
            return variables[name].replace("$", _DOLLAR)
        if default is None:
            raise ConfigError(f"the variable {name} is not set", where=f"configs/{path.name}")
        return str(default)

    while _VARIABLE.search(text):
        text = _VARIABLE.sub(value, text)
    return text.replace(_DOLLAR, "$")
