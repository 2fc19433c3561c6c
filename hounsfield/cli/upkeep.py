"""An installation itself: set up, keys, what lies around."""

from __future__ import annotations

import click

from hounsfield.cli.opening import open_settings, open_site
from hounsfield.cli.terminal import JSON, say

__all__ = ["orphans", "rotate_key", "setup"]


@click.command()
@JSON
def setup(as_json: bool) -> None:
    """Make the project key and the databases, or bring them up to date.

    \b
    Example:
      HOUNSFIELD_HOME=/data hounsfield setup
    """
    from hounsfield.stages.train import register_untrained

    site = open_site()
    site.set_up()
    labels = register_untrained(site)
    say(as_json, {"registered": labels}, f"Ready. Registered: {', '.join(labels) or 'no model'}.")


@click.command(name="rotate-key")
@JSON
def rotate_key(as_json: bool) -> None:
    """Add a new project key. Studies that are here keep theirs; new ones come under the new.

    \b
    Example:
      hounsfield rotate-key
    """
    from hounsfield.pseudonyms import rotate_key as rotate

    version = rotate(open_settings().site.key_file)
    say(
        as_json,
        {"version": version},
        f"Key {version} is in the key file. To use it, set key_version: {version} in "
        "configs/site.yaml and start the services again.",
    )


@click.command()
@JSON
def orphans(as_json: bool) -> None:
    """List what no row names, what is not where its row says, and what is hidden, not gone yet.

    Nothing is deleted. What is on its way, in drafts, staging and moves, is no orphan.

    \b
    Example:
      hounsfield orphans
    """
    from hounsfield.stages.orphans import find_orphans

    names = ("place", "what", "uri", "files", "bytes")
    rows = [{name: getattr(row, name) for name in names} for row in find_orphans(open_site())]
    lines = [f"{row['place']}  {row['what']}  {row['uri']}  {row['bytes']} bytes" for row in rows]
    say(as_json, rows, "\n".join([*lines, f"{len(rows)} orphans."]))
