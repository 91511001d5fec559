from .index import page_path, write_index, write_pages
from .page import page_of
from .plots import plot_comparison, plot_explanation
from .summary_files import write_summary

__all__ = [
    "page_of",
    "page_path",
    "plot_comparison",
    "plot_explanation",
    "write_index",
    "write_pages",
    "write_summary",
]
