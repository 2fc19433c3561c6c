"""Studies that an installation has."""

from __future__ import annotations

from pathlib import Path

import click

from hounsfield.cli.opening import open_site, person
from hounsfield.cli.terminal import JSON, NEW, say

__all__ = ["export", "hold", "lineage"]


@click.command()
@click.argument("source")
@click.argument("destination", type=NEW)
@click.option("--dicom", is_flag=True, required=True, help="As DICOM; there is no other form yet.")
@click.option(
    "--from",
    "zone",
    type=click.Choice(["raw", "volumes"]),
    default="raw",
    show_default=True,
    help="Of a study: as it was received (PHI), or from its de-identified volumes.",
)
@click.option("--purpose", default="export", help="Why raw data are opened; for the audit trail.")
@JSON
def export(
    source: str, destination: Path, dicom: bool, zone: str, purpose: str, as_json: bool
) -> None:
    """Write SOURCE, a study's key or a folder of volumes, as DICOM files to DESTINATION.

    From the raw zone each instance comes byte for byte as it was received. From volumes it
    comes with all its attributes and with equal pixels, uncompressed.

    \b
    Example:
      hounsfield export --dicom volumes/ series/
      hounsfield export --dicom st-k3v7c2m5x4qapz6b study/ --purpose "request 17"
    """
    from hounsfield.dicom.folders import check_apart
    from hounsfield.stages.export import export_raw, export_volumes_of
    from hounsfield.volume.export import export_volumes

    if Path(source).exists():
        check_apart(Path(source), destination)
        count = export_volumes(Path(source), destination)
    elif zone == "volumes":
        count = export_volumes_of(open_site(), source, destination)
    else:
        count = export_raw(open_site(), source, destination, run=person(), purpose=purpose)
    summary = {"destination": str(destination), "instances": count}
    say(as_json, summary, f"Wrote {count} instances to {destination}.")


@click.command()
@click.argument("key", required=False)
@click.option("--lift", metavar="NUMBER", type=click.IntRange(min=1), help="Lift this hold.")
@click.option("--why", default="", help="The matter, without any name; for the audit trail.")
@JSON
def hold(key: str | None, lift: int | None, why: str, as_json: bool) -> None:
    """Put KEY, a study's or a patient's, on legal hold; lift a hold; or list those that stand.

    What is on hold is neither deleted nor moved, whatever a policy or an erasure asks for. A
    patient's hold is also on the studies that are still to come.

    \b
    Example:
      hounsfield hold pt-w2m6x7k4d3qz5vna --why "matter 17"
      hounsfield hold --lift 3 --why "matter 17 is closed"
      hounsfield hold
    """
    from hounsfield.stages.hold import lift_hold, set_hold

    if key and lift:
        raise click.UsageError("give a KEY to set a hold, or --lift a hold, not both")
    site = open_site()
    if key:
        set_hold(site, key, why, run=person())
    elif lift:
        lift_hold(site, lift, why, run=person())
    names = ("id", "subject", "why", "set_by", "set_at")
    rows = [{name: getattr(row, name) for name in names} for row in site.catalog.holds()]
    lines = [
        f"{r['id']}  {r['subject']}  {r['why']} ({r['set_by']}, {r['set_at']:%F})" for r in rows
    ]
    say(as_json, rows, "\n".join(lines) or "No legal hold stands.")


@click.command()
@click.argument("sop_instance_uid")
@JSON
def lineage(sop_instance_uid: str, as_json: bool) -> None:
    """Follow an SR or SEG back: model, training set, volume, profile, raw manifest.

    \b
    Example:
      hounsfield lineage 2.25.181071609749557201928074680216194429023
    """
    from hounsfield.tracking.lineage import lineage as trace
    from hounsfield.tracking.tree import as_text

    found = trace(open_site(), sop_instance_uid)
    say(as_json, found.to_dict(), as_text(found))
