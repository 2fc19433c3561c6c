"""``hounsfield``: every stage without Airflow, for a person at a terminal."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The pipeline around a medical imaging model."""


@main.command()
def setup() -> None:
    """Make the project key and the databases, or bring them up to date."""
    from hounsfield.site import Site

    Site.open().set_up()


if __name__ == "__main__":
    main()
