"""configs/tiers.yaml: where data go as they age, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hounsfield.settings.fields import Root
from hounsfield.settings.files import Frozen
from hounsfield.settings.site import IN_REGION

__all__ = ["Tier", "TierRule", "TierSettings"]

Kind = Literal["raw", "volume"]  # that has tiers


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
        By kind, where a second copy is kept, a place of its own; scrubbing makes it, and heals
        the one from the other.
    """

    price: Annotated[float, Field(ge=0)]
    form: Literal["files", "packed"] = "files"
    recode: Literal["none", "jpeg-ls"] = "none"
    roots: dict[Kind, Root]
    copies: dict[Kind, Root] = Field(default_factory=dict)

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
    projects: dict[str, Literal["active", "closed"]] = Field(default_factory=dict)
    retention_years: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    rules: tuple[TierRule, ...]

    @model_validator(mode="after")
    def _known_tiers(self) -> Self:
        for rule in self.rules:
            if rule.to not in self.tiers or rule.kind not in self.tiers[rule.to].roots:
                raise ValueError(f"a rule moves {rule.kind} to {rule.to!r}, which has no such root")
        return self

    @model_validator(mode="after")
    def _places_of_their_own(self) -> Self:
        if told := self.in_one_place():
            raise ValueError(told)
        return self

    def in_one_place(self, regions: Sequence[str] = (IN_REGION,)) -> str:
        """Which tiers, or copies, share a place in these regions; empty, as it has to be.

        What is deleted in one would be what lies in the other.
        """
        taken: dict[tuple[Kind, str], str] = {}
        for name, tier in self.tiers.items():
            for what, roots in ((name, tier.roots), (f"copies of {name}", tier.copies)):
                places = {
                    (kind, root.replace(IN_REGION, region))
                    for kind, root in roots.items()
                    for region in regions
                }
                for kind, place in sorted(places):
                    other = taken.setdefault((kind, place), what)
                    if other != what:
                        return f"{other} and {what} are one place for {kind}"
        return ""
