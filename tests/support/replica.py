"""The paper's definitions (Guidotti et al. 2019) as slow, literal loops over plain numbers.

The fast code is compared with them. Nothing here calls the package. Points are lists of floats, a tree is
scikit-learn's own.
"""

import math


def distance(a, b):
    return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))


def kernel_weight(point, center, width):
    """sqrt(exp(-d^2 / w^2)), the kernel of LIME that the paper takes over."""
    return math.sqrt(math.exp(-(distance(point, center) ** 2) / width**2))


def logistic(value):
    return 1 / (1 + math.exp(-10 * (value - 0.5)))


def normalised_distance(a, b):
    """|a - b|^2 / (2 |a|^2 + 2 |b|^2): 0 for equal points, 1 for opposite ones, never more."""
    norms = 2 * sum(p * p for p in a) + 2 * sum(q * q for q in b)
    return distance(a, b) ** 2 / norms if norms else 0.0


def cosine(a, b):
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return max(0.0, min(1.0, dot / (distance(a, [0] * len(a)) * distance(b, [0] * len(b)))))


def fitness(point, center, similarity, same):
    """a1 s(1 - d) + a2 s(similarity), a1 = a2 = 1/2; ``same``: for the population that keeps the label."""
    agreement = logistic(similarity)
    return 0.5 * logistic(1 - normalised_distance(point, center)) + 0.5 * (agreement if same else 1 - agreement)


def tournament(values, drawn):
    """For each place among the parents, the fittest of the drawn competitors; the first of equals."""
    winners = []
    for competitors in drawn:
        best = competitors[0]
        for c in competitors[1:]:
            if values[c] > values[best]:
                best = c
        winners.append(best)
    return winners


def crossover(first, second, start, stop):
    """Two-point crossover: both children, made without touching the parents."""
    one, two = list(first), list(second)
    for i in range(start, stop):
        one[i], two[i] = second[i], first[i]
    return one, two


def weighted_share(right, weights):
    """Share of the weight on which surrogate and black box agree."""
    return sum(w for r, w in zip(right, weights, strict=True) if r) / sum(weights)


def path_conditions(tree, point):
    """All conditions on the way of a point down scikit-learn's tree: (axis, "<=" or ">", threshold)."""
    node, conditions = 0, []
    while tree.children_left[node] != -1:
        axis, threshold = int(tree.feature[node]), float(tree.threshold[node])
        if point[axis] <= threshold:
            conditions.append((axis, "<=", threshold))
            node = tree.children_left[node]
        else:
            conditions.append((axis, ">", threshold))
            node = tree.children_right[node]
    return conditions


def simplified(conditions):
    """The tightest bound of each axis and side, as a set."""
    tightest = {}
    for axis, operator, threshold in conditions:
        choose = min if operator == "<=" else max
        tightest[axis, operator] = choose(threshold, tightest.get((axis, operator), threshold))
    return {(axis, operator, threshold) for (axis, operator), threshold in tightest.items()}


def leaf_paths(tree, node=0, above=()):
    """Every leaf of scikit-learn's tree with the conditions that lead to it, and its class."""
    if tree.children_left[node] == -1:
        shares = list(tree.value[node][0])
        return [(set(simplified(above)), shares.index(max(shares)))]
    axis, threshold = int(tree.feature[node]), float(tree.threshold[node])
    return leaf_paths(tree, tree.children_left[node], (*above, (axis, "<=", threshold))) + leaf_paths(
        tree, tree.children_right[node], (*above, (axis, ">", threshold))
    )


def holds(condition, point):
    axis, operator, threshold = condition
    return point[axis] <= threshold if operator == "<=" else point[axis] > threshold


def fewest_changes(tree, point):
    """Per other class, the smallest number of conditions that the point breaks on a path to it."""
    leaves = leaf_paths(tree)
    own = next(label for conditions, label in leaves if all(holds(c, point) for c in conditions))
    fewest = {}
    for conditions, label in leaves:
        if label != own:
            broken = sum(not holds(c, point) for c in conditions)
            fewest[label] = min(broken, fewest.get(label, broken))
    return fewest


def median(values):
    """The lower of the two middle values for an even number of them, as torch defines it."""
    return sorted(values)[(len(values) - 1) // 2]


def median_saliency(image, exemplars, neutral=0.05):
    """Per pixel of a grey image the median of image minus exemplar; small differences are neutral."""
    height, width = len(image), len(image[0])
    saliency = [[0.0] * width for _ in range(height)]
    for row in range(height):
        for column in range(width):
            difference = median([image[row][column] - e[row][column] for e in exemplars])
            saliency[row][column] = difference if abs(difference) >= neutral else 0.0
    return saliency


def contrast_saliency(image, neighbors, evidence, same):
    """Per pixel the covariance of pixel and evidence times (image - mean of the others); the largest is 1."""
    height, width, n = len(image), len(image[0]), len(neighbors)
    mean_evidence = sum(evidence) / n
    saliency = [[0.0] * width for _ in range(height)]
    for row in range(height):
        for column in range(width):
            pixel = [neighbor[row][column] for neighbor in neighbors]
            mean_pixel = sum(pixel) / n
            covariance = 0.0
            others = []
            for p, e, s in zip(pixel, evidence, same, strict=True):
                covariance += (p - mean_pixel) * (e - mean_evidence) / n
                if not s:
                    others.append(p)
            saliency[row][column] = covariance * (image[row][column] - sum(others) / len(others))
    top = max(abs(v) for line in saliency for v in line)
    return [[v / top for v in line] for line in saliency]
