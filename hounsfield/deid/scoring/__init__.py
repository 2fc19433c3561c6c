"""Scoring of a de-identification by an answer key, as the MIDI-B benchmark does it.

The key says of each attribute of each file what must be true of it afterwards, in ten actions
(TCIA 10.7937/cf2p-aw56). It is made by whoever planted the identities, never by the engine.
"""

from __future__ import annotations

from hounsfield.deid.scoring.actions import ACTIONS
from hounsfield.deid.scoring.key import AnswerKey, Check, Person
from hounsfield.deid.scoring.score import Failure, Score, score

__all__ = ["ACTIONS", "AnswerKey", "Check", "Failure", "Person", "Score", "score"]
