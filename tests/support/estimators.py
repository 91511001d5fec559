"""Points in the unit square, and classifiers of its quarters with any names of classes."""

import numpy as np
import torch
from sklearn.naive_bayes import GaussianNB

from .worlds import quarters, seeded

IMAGES = torch.rand(9, 1, 1, 2, generator=seeded())
ROWS = torch.rand(200, 2, generator=seeded(1)).numpy()
QUARTERS = quarters(torch.from_numpy(ROWS).reshape(-1, 1, 1, 2)).numpy()


def fitted(classes, estimator=None):
    """On quarters of the square, called as the classes are."""
    labels = np.array(list(classes))[QUARTERS % len(classes)]
    return (estimator or GaussianNB()).fit(ROWS, labels)
