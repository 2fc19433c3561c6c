"""A lineage as a tree on a terminal."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from hounsfield.tracking.evidence import Lineage, ModelNode, ProductNode, SnapshotNode

__all__ = ["as_text", "render"]

_TITLES = {"volume": "volume", "deid": "de-identified study", "raw": "raw study (manifest)"}


def render(lineage: Lineage, *, members: int = 10) -> Tree:
    """A tree that rich prints: the result above, what it was made from below.

    Parameters
    ----------
    members
        How many of the training set's members to list; the rest is counted.
    """
    prediction = lineage.prediction
    root = Tree(Text(lineage.asked or prediction.prediction_id, style="bold"))
    for result in lineage.results:
        mark = "this object" if result.SOPInstanceUID == lineage.asked else "also made"
        line = f"{mark}: {result.kind} {result.SOPInstanceUID} at {result.destination}"
        root.add(_line(line, f"{result.state}, sha256 {result.sha256[:12]}"))
    answer = root.add(
        _line(
            f"prediction of {prediction.model} v{prediction.version} ({prediction.role})",
            f"{prediction.prediction_id[:12]}, {prediction.created_at}",
        )
    )
    branch = answer
    for node in (lineage.volume, lineage.deid, lineage.raw):
        branch = branch.add(_product(node))
    model = answer.add(_model(lineage.model))
    if lineage.snapshot is not None:
        model.add(_line("training run", lineage.model.training_run))
        _add_snapshot(model, lineage.snapshot, members)
    elif lineage.model.known:
        model.add(_line("needed no training", ""))
    return root


def as_text(lineage: Lineage) -> str:
    """The same without colours, for a page or a file; lines are never broken."""
    console = Console(file=io.StringIO(), width=400, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(render(lineage))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _product(node: ProductNode) -> Text:
    title = _TITLES[node.kind]
    if not node.known:
        return _gap(title, node.digest)
    detail = ", ".join(f"{name} {_short(value)}" for name, value in node.detail.items())
    return _line(f"{title} {node.digest}", detail)


def _model(node: ModelNode) -> Text:
    title = f"model version {node.name} v{node.version}"
    if not node.known:
        return _gap(title, "")
    notes = {"weights": node.weights_digest, "bundle": node.bundle_digest}
    return _line(title, ", ".join(f"{name} {d[:12]}" for name, d in notes.items() if d))


def _add_snapshot(parent: Tree, node: SnapshotNode, limit: int) -> None:
    if not node.known:
        parent.add(_gap("training snapshot", node.digest))
        return
    counts = ", ".join(f"{count} {split}" for split, count in node.counts.items())
    branch = parent.add(_line(f"training snapshot {node.name} {node.digest}", counts))
    for member in node.members[:limit]:
        line = f"{member.split}: {member.study_key} volume {member.volume_digest[:12]}"
        branch.add(_line(line, ""))
    if len(node.members) > limit:
        branch.add(_line(f"and {len(node.members) - limit} more", ""))


def _line(text: str, note: str) -> Text:
    return Text.assemble(text, (f"  {note}" if note else "", "dim"))


def _gap(title: str, digest: str) -> Text:
    note = f"{digest} is not on record" if digest else "not on record"
    return Text.assemble(f"{title} ", (note, "red"))


def _short(value: object) -> str:
    text = "×".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)
    return text[:12] if len(text) == 64 else text
