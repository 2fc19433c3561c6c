"""Drawn pictures with burned-in text, their clean siblings, and how well the text is masked."""

from tests.deid.burned_in.cases import MODALITIES, SCRIPTS, Case, corpus, draw, scripts
from tests.deid.burned_in.score import Tally, score

__all__ = ["MODALITIES", "SCRIPTS", "Case", "Tally", "corpus", "draw", "score", "scripts"]
