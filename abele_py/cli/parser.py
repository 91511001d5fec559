"""The parser of ``abele``: every command with what it takes and its help. Loads no library but jsonargparse."""

from importlib.metadata import version

from jsonargparse import ArgumentParser

from .app import add_app
from .audit import add_audit
from .compare import add_compare
from .evaluate import add_evaluate
from .explain import add_demo, add_explain
from .explain_dataset import add_explain_dataset
from .models import add_models
from .summary import add_similar, add_summary
from .train import add_train


def parser() -> ArgumentParser:
    """The whole parser; its commands in the order in which ``abele --help`` lists them."""
    whole = ArgumentParser(
        prog="abele",
        version=version("abele-py"),
        description="Explain single decisions of image classifiers.",
        exit_on_error=False,
    )
    commands = whole.add_subcommands(required=True, dest="command")
    for add in (
        add_explain,
        add_explain_dataset,
        add_summary,
        add_similar,
        add_audit,
        add_compare,
        add_app,
        add_evaluate,
        add_train,
        add_models,
        add_demo,
    ):
        add(commands)
    return whole
