"""configs/receiver.yaml: the door for what is pushed to us."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from hounsfield.settings.fields import Text, Words
from hounsfield.settings.files import Frozen, parse
from hounsfield.settings.installation import Settings

__all__ = ["CommitmentSettings", "ReceiverSettings"]

Encoding = Literal["explicit", "implicit", "big-endian", "deflated"]


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

    peers: dict[str, dict[str, Any]] = Field(default_factory=dict)
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
    max_instance
        The longest instance that is taken, in bytes: one without end would fill the disk.
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
    calling_ae_titles: Words = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    tls: dict[str, Any] | None = None
    sop_classes: tuple[str, ...] = ()
    transfer_syntaxes: dict[str, Encoding] = Field(default_factory=dict)
    associations: Annotated[int, Field(ge=1, le=200)] = 32
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    max_pdu: Annotated[int, Field(ge=4096, le=1_048_576)] = 131_072
    max_instance: Annotated[int, Field(ge=1)] = 1 << 33
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
