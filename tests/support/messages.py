"""What every error message must hold."""


def says_what_to_do(error: Exception) -> bool:
    """Got, expected, and something to do after the expectation."""
    text = str(error)
    return ("got" in text or "raised" in text) and "expected" in text and ";" in text[text.index("expected") :]
