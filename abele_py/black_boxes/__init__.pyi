from .black_box import Answer, BlackBox, as_function, probabilities
from .exported import ExportedClassifier
from .http import HttpClassifier
from .loading import LoadedBlackBox, identity, load_black_box
from .onnx import OnnxClassifier
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
