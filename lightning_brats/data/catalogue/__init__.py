"""One file that knows a prepared data set: a start looks there, not at a hundred thousand files."""

from lightning_brats.data.catalogue.catalogue import Catalogue, Entries
from lightning_brats.data.catalogue.files import file_name
from lightning_brats.data.catalogue.rows import Description, Facts

__all__ = ["Catalogue", "Description", "Entries", "Facts", "file_name"]
