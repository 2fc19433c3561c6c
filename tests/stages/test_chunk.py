"""chunk: a volume of each series and picture, or why there is none."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from sqlalchemy import select

from hounsfield.catalog.models import Product, Series
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME, chunk
from hounsfield.stages.produce import open_product
from hounsfield.store import seal
from hounsfield.volume import Volume
from tests.stages.conftest import RUN
from tests.stages.kept import keep, keep_study
from tests.volume.series import write_series
from tests.volume.test_deface import head, series, voxel
from tests.volume.test_kinds import picture

KEY = "st-pictures"


def keep_pictures(site: Site, pictures: list[Dataset]) -> None:
    """A de-identified study of one series."""
    keep_study(site, KEY, "pt-a", modalities="US")
    site.catalog.put(Series(series_key="2.25.1", study_key=KEY, modality="US"))
    raw, zone = keep(site, "raw", KEY), site.zone("deid")
    with zone.draft() as draft:
        write_series(draft / "instances" / "2.25.1", pictures)
        sealed = seal(draft, product_id="d", kind="deid", study_key=KEY, detail={})
        zone.commit(draft, f"{KEY}/d")
    row = {"product_id": "d", "study_key": KEY, "kind": "deid", "uri": zone.uri(f"{KEY}/d")}
    site.catalog.put(Product(**row, digest=sealed.digest, input_digest=raw.digest))


def test_one_picture_that_is_no_volume_keeps_the_others_from_nothing(site: Site) -> None:
    """Such as a volume of ultrasound, which lies in the transducer, among stills."""
    values = [np.full((3, 4), number) for number in range(3)]
    pictures = [picture(f"2.25.5{number}", each) for number, each in enumerate(values)]
    pictures[1].SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.2"
    keep_pictures(site, pictures)
    told = chunk(site, KEY, run=RUN)
    assert (len(told["volumes"]), told["without"]) == (2, 1)
    read = []
    for product in map(site.catalog.product, told["volumes"]):
        assert product is not None
        with open_product(site, product) as folder:
            read.append(int(Volume.open(folder / VOLUME).array[0, 0]))
    assert read == [0, 2]
    (series,) = site.catalog.all(select(Series))
    assert "lie in the transducer" in series.facts["no_volume"]
    assert chunk(site, KEY, run=RUN) == told


def test_faces_are_cut_out_where_the_site_says_so(site: Site) -> None:
    """It does not by default; the product, its row and its metadata tell."""
    hu, _, face = head()
    keep_pictures(site, series(hu))
    changed = site.settings.site.model_copy(update={"deface": True})
    cutting = Site(site.settings.model_copy(update={"site": changed}))
    noses, told = [], []
    for one in (site, cutting):
        (made,) = map(one.catalog.product, chunk(one, KEY, run=RUN)["volumes"])
        assert made is not None
        with open_product(one, made) as folder:
            volume = Volume.open(folder / VOLUME)
            noses.append(int(volume.array[voxel(volume, face["nose"])]))
            stated = volume.metadata.get("deface", {}).get("done")
            darkest = int(volume.array[:].min())
        told.append((made.detail.get("defaced"), stated))
    assert noses[0] != noses[1] == darkest
    assert told == [(None, None), (True, True)]
