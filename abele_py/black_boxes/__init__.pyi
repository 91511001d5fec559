from .adapters import as_function
from .black_box import BlackBox
from .exported import ExportedClassifier
from .http import HttpClassifier
from .loading import LoadedBlackBox, identity, load_black_box
from .onnx import OnnxClassifier
from .outputs import Answer, probabilities
from .preprocessing import Pixels
from .skops import load_skops

__all__ = [
    "Answer",
    "BlackBox",
    "ExportedClassifier",
    "HttpClassifier",
    "LoadedBlackBox",
    "OnnxClassifier",
    "Pixels",
    "as_function",
    "identity",
    "load_black_box",
    "load_skops",
    "probabilities",
]
