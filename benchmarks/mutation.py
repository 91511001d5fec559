"""Mutation score of the core: how many small faults in it do the tests find?

    python benchmarks/mutation.py draw --n 150                # which mutants; stored in benchmarks/mutants.json
    python benchmarks/mutation.py run --name NAME [--jobs N]  # run the tests on each; resumes where it stopped

A mutant is one changed operator, comparison, constant or name in a statement of the core: rules, surrogate,
neighborhood, exemplars, counter-exemplars, saliency, trust. It is named by its function and statement,
not by its file and line, so that the same mutants can be run before and after code has moved; one whose statement is no
longer there counts as ``gone``. Each runs the fast tests of the core in a process forked from one that has imported the
libraries, and is killed by the first test that fails or by the time limit.
"""

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path.cwd()
MUTANTS = Path(__file__).resolve().parent / "mutants.json"
RESULTS = Path(__file__).resolve().parent / "results" / "mutation.json"
CORE = {  # room -> its files, now and as they were in abele_py 0.1
    "rules": ("surrogate/rules.py", "rules.py"),
    "surrogate": ("surrogate/tree.py", "surrogate/linear_machine.py", "surrogate/pruning.py", "surrogate.py",
                  "linear_machine.py", "trees.py"),
    "neighborhood": ("latent/neighborhood.py", "latent/genetic.py", "neighborhood.py"),
    "exemplars": ("latent/exemplars.py", "exemplars.py"),
    "counter-exemplars": ("latent/counter_exemplars.py", "counter_exemplars.py"),
    "saliency": ("explanation/saliency.py", "saliency.py"),
    "trust": ("explanation/trust.py", "explanation/notes.py", "trust.py"),
}  # fmt: skip
TESTS = ("tests/surrogate", "tests/latent", "tests/explanation")
TESTS_BEFORE = ("rules", "surrogate", "saliency", "trust", "replica", "exemplars", "counter_exemplars", "neighborhood",
                "traversals", "latent_space", "explainer", "explanation", "refusals")  # fmt: skip
SECONDS = 300  # of one mutant
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
            ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult}  # fmt: skip
NAMED = {"min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "amin": "amax", "amax": "amin",
         "square": "abs", "minimum": "maximum", "floor": "ceil", "ceil": "floor", "any": "all", "all": "any",
         "mean": "sum", "sum": "mean", "median": "amax"}  # fmt: skip


def files_of(root: Path) -> Iterator[tuple[str, Path]]:
    for room, paths in CORE.items():
        for path in (root / "abele_py" / p for p in paths):
            if path.is_file():
                yield room, path


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{n.name}", n) for n in node.body if isinstance(n, ast.FunctionDef))


def plain(name: str) -> str:
    """Without what says that it is private, which may change."""
    return name.replace("._", ".").lstrip("_")


def statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """The simple statements of a function, and the headers of its branches and loops."""
    for node in ast.walk(function):
        simple = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.If | ast.While
        expression = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        if isinstance(node, simple) or expression:
            yield node


def head(statement: ast.stmt) -> ast.AST:
    """What of a statement is its own: of a branch or loop the test."""
    return statement.test if isinstance(statement, ast.If | ast.While) else statement


def changes(node: ast.AST) -> Iterator[str]:
    """The ways in which a node can be mutated."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield "compare"
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield "compute"
    elif isinstance(node, ast.BoolOp):
        yield "and-or"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield "unary"
    elif isinstance(node, ast.Attribute) and node.attr in NAMED:
        yield "name"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMED:
        yield "call"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "constant"
    elif isinstance(node, ast.IfExp):
        yield "if"


def mutate(node: ast.AST, change: str) -> None:
    """Change a node in place."""
    if change == "compare":
        node.ops[0] = COMPARED[type(node.ops[0])]()
    elif change == "compute":
        node.op = COMPUTED[type(node.op)]()
    elif change == "and-or":
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif change == "unary":
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if not isinstance(node.op, ast.UAdd):
            inner = node.operand
            node.__class__, node.__dict__ = inner.__class__, inner.__dict__
    elif change == "name":
        node.attr = NAMED[node.attr]
    elif change == "call":
        node.func.id = NAMED[node.func.id]
    elif change == "if":
        node.body, node.orelse = node.orelse, node.body
    elif isinstance(node.value, bool):
        node.value = not node.value
    else:
        node.value = node.value + 1 if isinstance(node.value, int) else node.value * 1.5 + 0.1


def all_mutants(root: Path) -> Iterator[dict]:
    for room, path in files_of(root):
        for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            seen: dict[str, int] = {}
            for statement in statements(function):
                text = ast.unparse(head(statement))
                number = seen[text] = seen.get(text, -1) + 1
                for place, node in enumerate(ast.walk(head(statement))):
                    for change in changes(node):
                        at = {"room": room, "function": name, "statement": text, "number": number, "place": place}
                        mutated = copy.deepcopy(head(statement))
                        mutate(list(ast.walk(mutated))[place], change)
                        yield {**at, "change": change, "mutated": ast.unparse(mutated)}


def draw(n: int, seed: int) -> list[dict]:
    """The same number from each room, as far as it has them; drawn at random."""
    rooms: dict[str, list[dict]] = {}
    for mutant in all_mutants(ROOT):
        rooms.setdefault(mutant["room"], []).append(mutant)
    chosen = []
    for i, (_, found) in enumerate(rooms.items()):
        share = (n - len(chosen)) // (len(rooms) - i)
        chosen += random.Random(seed).sample(found, min(share, len(found)))
    return [{"id": i, **mutant} for i, mutant in enumerate(chosen)]


def applied(mutant: dict) -> tuple[Path, ast.Module] | None:
    """The file that holds the mutant's statement, and its tree with the mutant in it; None where it is gone."""
    for _, path in files_of(ROOT):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, function in functions(tree):
            if plain(name) != plain(mutant["function"]):
                continue
            same = [s for s in statements(function) if ast.unparse(head(s)) == mutant["statement"]]
            if len(same) > mutant["number"]:
                mutate(list(ast.walk(head(same[mutant["number"]])))[mutant["place"]], mutant["change"])
                return path, ast.fix_missing_locations(tree)
    return None


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module of the package another code."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.path, self.tree = path, tree

    def find_spec(self, fullname, path, target=None):
        if fullname == self.name:
            return importlib.util.spec_from_file_location(fullname, self.path, loader=self)
        return None

    def exec_module(self, module) -> None:
        exec(compile(self.tree, str(self.path), "exec"), vars(module))


def tests(room: str) -> list[str]:
    """The files of tests, those named after the room first: most mutants are found there."""
    folders = [ROOT / folder for folder in TESTS if (ROOT / folder).is_dir()]
    files = [path for folder in folders for path in sorted(folder.glob("test_*.py"))]
    files = files or [ROOT / f"tests/test_{name}.py" for name in TESTS_BEFORE]
    named = {"trust": ("trust", "notes"), "surrogate": ("surrogate", "tree")}.get(room, (room.replace("-", "_"),))
    return [str(path) for path in sorted(files, key=lambda path: not any(name in path.stem for name in named))]


def tried(mutant: dict) -> dict:
    """Run the tests on a mutant in a forked process."""
    found = applied(mutant)
    if found is None:
        return {"id": mutant["id"], "result": "gone"}
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.meta_path.insert(0, Mutated(*found))
        import pytest
        from hypothesis import Phase, settings

        settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)  # no shrinking
        settings.load_profile("mutants")
        order = tests(mutant["room"])
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", *order])))
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - start
        if done:
            code = os.waitstatus_to_exitcode(status)
            result = {0: "survived", 1: "killed"}.get(code, "killed" if code < 0 or code == 2 else f"exit code {code}")
            return {"id": mutant["id"], "result": result, "seconds": round(seconds, 1)}
        if seconds > SECONDS:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"id": mutant["id"], "result": "killed", "seconds": round(seconds, 1), "limit": True}
        time.sleep(0.05)


def run(name: str, jobs: int, killed_by: str | None = None) -> None:
    for library in ("torch", "sklearn.tree", "sklearn.linear_model", "sklearn.mixture", "scipy.stats", "scipy.ndimage",
                    "pytest", "hypothesis", "matplotlib.pyplot"):  # fmt: skip
        importlib.import_module(library)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    mutants = json.loads(MUTANTS.read_text(encoding="utf-8"))
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known = {result["id"]: result for result in stored.get(name, {}).get("mutants", [])}
    missing = [mutant for mutant in mutants if mutant["id"] not in known]
    if killed_by is not None:
        killed = {r["id"] for r in stored[killed_by]["mutants"] if r["result"] == "killed"}
        missing = [mutant for mutant in missing if mutant["id"] in killed]
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(tried, missing):
            known[result["id"]] = result
            results = [known[i] for i in sorted(known)]
            counts = {kind: sum(r["result"] == kind for r in results) for kind in ("killed", "survived", "gone")}
            here = counts["killed"] + counts["survived"]
            stored[name] = {**counts, "score": round(counts["killed"] / max(here, 1), 3), "mutants": results}
            RESULTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
            mutant = mutants[result["id"]]
            text = f"{mutant['statement'][:60]} -> {mutant['mutated'][:60]}".replace("\n", " ")
            print(f"{result['id']:3} {result['result']:9} {mutant['function']}: {text}", flush=True)
    print({key: value for key, value in stored[name].items() if key != "mutants"})


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("draw", "run"))
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="now", help="of the run, in the results")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--killed-by", help="run only the mutants that the run of this name killed: are they still?")
    options = parser.parse_args(argv)
    if options.action == "draw":
        chosen = draw(options.n, options.seed)
        MUTANTS.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
        print(f"{len(chosen)} of {sum(1 for _ in all_mutants(ROOT))} mutants")
        return
    run(options.name, options.jobs, options.killed_by)


if __name__ == "__main__":
    main()
