"""The label that counter-exemplars are to have, from what a user calls it."""

from ..black_boxes.black_box import BlackBox
from ..black_boxes.outputs import plain
from ..errors import ParameterError, unknown_name


def label_of(target: int | str | None, label: int, black_box: BlackBox, class_names: tuple[str, ...]) -> int | None:
    """The target as a label, one that the image has not; None stays None.

    Args:
        target: a class name, or a class as the black box has it.
        label: of the image.
        black_box: whose classes they are.
        class_names: of them.

    Raises:
        ParameterError, UnknownNameError: it is no label, or that of the image.
    """
    if target is None:
        return None
    n = len(black_box.classes or ()) or black_box.n_classes or len(class_names)
    names = [*class_names] or [str(y) for y in range(n)]
    given = plain(target)
    if isinstance(target, bool) or not isinstance(given, int | str) or isinstance(target, float):
        raise ParameterError(f"got the target {target!r}; expected a label (a whole number) or a class name")
    own = {str(c): column for column, c in enumerate(black_box.classes or range(n))}
    if str(given) in own and (isinstance(given, int) or given not in names):
        target = own[str(given)]
    elif given in names:
        target = names.index(str(given))
    elif black_box.classes is None and not n and str(given).isascii() and str(given).isdecimal():
        target = int(given)  # of labels only, with names for none
    else:
        raise unknown_name("target", target, names)
    if target == label:
        raise ParameterError(
            f"got target {names[target] if names else target}, the label the image has; expected another label"
        )
    return target
