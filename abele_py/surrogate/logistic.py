"""Multinomial logistic regression for few unknowns: the fit takes a few milliseconds, of which checks would be most."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_MOST_STEPS, _MOST_INNER, _SHORTEST = 300, 200, 1e-6
_DECREASE = 1e-4  # share of what the slope promises that a step must bring


def fit_logistic(
    points: Array, labels: Array, weights: Array, c: float, tolerance: float = 1e-6
) -> tuple[Array, Array]:
    """A linear function for each class, whose softmax is the class's probability.

    The minimum of ``mean cross-entropy + |slopes|^2 / (2 c sum(weights))``, that of scikit-learn's
    ``LogisticRegression(C=c)``: by Newton's method with conjugate gradients (Nocedal & Wright 2006, Numerical
    Optimization, algorithm 7.1), each step halved until it lowers the loss enough (Armijo's condition, section 3.1).
    Two classes mirror each other; of these the difference of the slopes is what is kept small, as it is there.

    Args:
        points: (N, k) float64.
        labels: (N,) 0 to K - 1 >= 1, all of which occur.
        weights: (N,) positive.
        c: the larger, the weaker the regularisation.
        tolerance: largest derivative of the loss where the search may end. With scikit-learn's ``tol``, 1e-4, the way
            to the minimum, and with it rounding, decides the third digit of a slope, and numbers of a rule.

    Returns:
        Slopes (K, k) and offsets (K,), float64, of sum 0 over the classes.
    """
    n_classes, share = int(labels.max()) + 1, weights / weights.sum()
    mirrored = 2 if n_classes == 2 else 1
    columns = np.concatenate([points.T, np.ones((1, len(points)))])  # (k + 1, N), the last for the offsets
    rows = np.ascontiguousarray(columns.T)
    given = np.zeros((n_classes, len(points)))
    given[labels, np.arange(len(points))] = share
    ridge = np.full(len(columns), mirrored / (c * weights.sum()))
    ridge[-1] = 0

    def at(model: Array) -> tuple[float, Array]:
        """The loss, and (K, N) each point's probabilities times its share."""
        scores = model @ columns
        top = scores.max(axis=0)
        odds = np.exp(scores - top)
        total = odds.sum(axis=0)
        loss = share @ (np.log(total) + top) - (given * scores).sum() + 0.5 * (ridge * model**2).sum()
        return float(loss), odds * (share / total)

    def newton_step(gradient: Array, shares: Array) -> Array:
        """About the solution of ``Hessian step = -gradient``, the nearer the smaller the gradient."""
        size = np.abs(gradient).sum() / mirrored
        enough = mirrored * min(0.5, size**0.5) * size
        step, rest = np.zeros_like(gradient), -gradient
        way, length = rest, (rest**2).sum()
        for _ in range(_MOST_INNER):
            if np.abs(rest).sum() <= enough:
                break
            change = shares * (way @ columns)
            change -= shares * (change.sum(axis=0) / share)
            bent = change @ rows + ridge * way
            curvature = (way * bent).sum()
            if curvature <= 1e-15 * (way**2).sum():  # flat, by rounding
                break
            step, rest = step + length / curvature * way, rest - length / curvature * bent
            before, length = length, (rest**2).sum()
            way = rest + length / before * way
        return step

    model = np.zeros((n_classes, len(columns)))
    loss, shares = at(model)
    for _ in range(_MOST_STEPS):
        gradient = (shares - given) @ rows + ridge * model
        if np.abs(gradient).max() <= tolerance:
            break
        step, part = newton_step(gradient, shares), 1.0
        promised = _DECREASE * (gradient * step).sum()
        lower = at(model + step)
        while lower[0] > loss + part * promised and part > _SHORTEST:
            part /= 2
            lower = at(model + part * step)
        if part <= _SHORTEST:  # rounding hides what is lower still
            break
        model, (loss, shares) = model + part * step, lower
    return model[:, :-1], model[:, -1]
