"""Digests of stand-ins for files that are downloaded, and calls that are remembered."""

import hashlib


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def recorded(function, calls):
    def call(*arguments, **options):
        calls.append(arguments)
        return function(*arguments, **options)

    return call
