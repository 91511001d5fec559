"""Adam for a few numbers at a time."""

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) for one tensor.

    Its bytes are those of ``torch.optim.Adam``, whose checks and hooks take as long as a step of few codes.
    """

    def __init__(self, values: Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.values, self.lr, self.betas, self.eps = values, lr, betas, eps
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the values in place."""
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = self.square.sqrt().div_((1 - second**self.steps) ** 0.5).add_(self.eps)
        self.values.addcdiv_(self.mean, scale, value=-self.lr / (1 - first**self.steps))
