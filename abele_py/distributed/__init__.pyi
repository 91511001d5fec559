from .images import Images, Listed
from .run import Counts, explain_dataset
from .run_file import Run, read_run
from .shards import read_shards
from .similar import similar
from .summary import summarize

__all__ = [
    "Counts",
    "Images",
    "Listed",
    "Run",
    "explain_dataset",
    "read_run",
    "read_shards",
    "similar",
    "summarize",
]
