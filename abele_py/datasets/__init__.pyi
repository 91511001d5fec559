from .catalog import DATASETS
from .importing import import_images
from .loading import dataset_of, load_image, load_split, prepare
from .prepared_images import OwnImages, read_own_images
from .records import SPLITS, Dataset, ImageSet, to_unit

__all__ = [
    "DATASETS",
    "SPLITS",
    "Dataset",
    "ImageSet",
    "OwnImages",
    "dataset_of",
    "import_images",
    "load_image",
    "load_split",
    "prepare",
    "read_own_images",
    "to_unit",
]
