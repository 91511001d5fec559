"""How many cases property-based tests try: few and always the same, or with ABELE_FUZZ=N (`make fuzz`) N times as many.

The long mode draws new cases each time, from a seed that pytest is given: ``--hypothesis-seed``.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("ABELE_FUZZ", "1"))

settings.register_profile(
    "abele",
    max_examples=100 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,
    print_blob=TIMES > 1,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("abele")


def examples(n: int) -> settings:
    """As a decorator: so many cases in `make test`, and as many times more in `make fuzz`."""
    return settings(max_examples=n * TIMES)
