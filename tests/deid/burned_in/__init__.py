"""Drawn pictures with burned-in text, their clean siblings, and how well the text is masked."""

from tests.deid.burned_in.cases import MODALITIES, Case, corpus, scripts
from tests.deid.burned_in.score import Tally, score

__all__ = ["MODALITIES", "Case", "Tally", "corpus", "score", "scripts"]
