"""A product from one zone to another, file by file: no more of it than one is held at a time."""

from __future__ import annotations

from hounsfield.store.packed import Grouping, Pack, is_packed, unpacked, whole_files
from hounsfield.store.product import MANIFEST, UNPACKED, file_digest
from hounsfield.store.zone import Zone

__all__ = ["copy", "mend", "transfer"]


def copy(source: Zone, target: Zone, relative: str) -> None:
    """Copies a product as it lies there, packed or not; as `transfer` in all else."""
    target.admit(source.product(relative).region or source.region)
    manifest = source.read_file(relative, MANIFEST)
    with target.assembly(relative) as assembly:
        for file in whole_files(source, relative):
            assembly.put(*file)
        assembly.seal(manifest)


def mend(damaged: Zone, good: Zone, relative: str) -> int:
    """Replaces what differs from a whole copy; how many files that were.

    Raises
    ------
    IntegrityError
        The copy is not whole either, or what was replaced differs still.
    WrongRegion
        The whole copy lies in another region, or is of one.
    """
    damaged.admit(good.product(relative).region or good.region)
    count = 0
    for path, name, sha256 in whole_files(good, relative):
        if damaged.digest(relative, name) != sha256:
            damaged.replace(path, relative, name)
            count += 1
    with good.file(relative, MANIFEST) as path:
        if damaged.digest(relative, MANIFEST) != file_digest(path):
            damaged.replace(path, relative, MANIFEST)
            count += 1
    damaged.verify(relative)
    return count


def transfer(
    source: Zone,
    target: Zone,
    relative: str,
    *,
    pack: Grouping | None = None,
    recoding: bool = False,
) -> None:
    """Copies a product, and proves each file before it is read and after it is written.

    Done again after it was killed, it goes on at the file where it was; where the copy is there
    already, it only proves it.

    Parameters
    ----------
    pack
        Which object a file goes into, where the copy is to be packed; what is packed already is
        copied as it is. None: as files, unpacked where it was packed.
    recoding
        Whether pictures are recoded as they are packed.

    Raises
    ------
    IntegrityError
        A checksum differs. Of a copy that is not whole nothing is left.
    NotYet
        The product lies in an archive, and was asked for.
    WrongRegion
        Its data may not go there. What names no region is of the root's that it lies in.
    """
    product = source.product(relative)
    target.admit(product.region or source.region)
    was_packed = is_packed(product)
    if was_packed == (pack is not None):
        copy(source, target, relative)
        return
    with target.assembly(relative) as assembly:
        if pack is None:
            for file in unpacked(source, relative):
                assembly.put(*file)
            assembly.seal(source.read_file(relative, UNPACKED))
            return
        packing = Pack(source, relative, pack, recoding=recoding)
        for file in packing.files(source.read_file(relative, MANIFEST)):
            assembly.put(*file)
        assembly.seal(packing.manifest)
