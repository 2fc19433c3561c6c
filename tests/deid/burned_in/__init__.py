"""Drawn pictures with burned-in text, their clean siblings, and how well the text is masked."""

from tests.deid.burned_in.cases import MODALITIES, SCRIPTS, Case, draw
from tests.deid.burned_in.score import Tally

__all__ = ["MODALITIES", "SCRIPTS", "Case", "Tally", "draw"]
