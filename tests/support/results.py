"""What two results say, for tests that compare them."""

import dataclasses


def content(explanation):
    """All that an explanation says but for its provenance: when and from which file it was made differs."""
    return dataclasses.replace(explanation, provenance=None).to_json()
