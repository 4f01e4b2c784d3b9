"""Imports go one way, as the design says, and what must stay light stays light."""

import ast
import graphlib
from pathlib import Path

import asr

ROOT = Path(asr.__file__).parent

# lower rows know nothing of higher ones; the longest matching name counts
LAYERS = (
    ("asr", "asr.errors", "asr.files", "asr.cores", "asr.progress", "asr.espeak", "asr.espeak_worker"),
    ("asr.config", "asr.emissions", "asr.text.units"),
    ("asr.text", "asr.data", "asr.score", "asr.segment"),
    ("asr.features", "asr.decode", "asr.formats"),
    ("asr.models",),
    ("asr.system",),
    ("asr.cell", "asr.evaluation", "asr.experiment", "asr.record"),
    ("asr.stages",),
    ("asr.bench", "asr.cluster", "asr.design", "asr.report"),
    ("asr.estimate",),
    ("asr.cli",),
)
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("asr", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, top_only: bool = False) -> list[tuple[str, int]]:
    """Modules a file imports, with their lines; of ``from a import b`` also a.b, which may be one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.append((node.module or "", node.lineno))
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def layer(module: str) -> int | None:
    """The row of a module, None for the package's own name, which holds only the version and public names."""
    while module not in LAYER:
        module, _, _ = module.rpartition(".")
    return LAYER[module] if module != "asr" else None


def test_every_module_has_a_layer():
    assert not [name for name in modules() if name != "asr" and layer(name) is None]


def test_imports_go_one_way():
    known = modules()
    wrong = [
        f"{name}:{line} imports {other}"
        for name, path in known.items()
        if (own := layer(name)) is not None
        for other, line in imports(path)
        if other in known and (theirs := layer(other)) is not None and theirs > own
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle():
    known = modules()
    graph = {
        name: {other for other, _ in imports(path, top_only=True) if other in known and other != name}
        for name, path in known.items()
    }
    # a package and its modules may name each other: importing the module runs the package first
    for name in graph:
        graph[name] = {other for other in graph[name] if not name.startswith(other + ".")}
    graphlib.TopologicalSorter(graph).prepare()


def test_search_and_scores_need_neither_torch_nor_models():
    heavy = ("torch", "torchaudio", "lightning", "asr.models")
    wrong = [
        f"{name}:{line} imports {other}"
        for name, path in modules().items()
        if name.startswith(("asr.decode", "asr.score"))
        for other, line in imports(path)
        if other.startswith(heavy)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_unpickles():
    """Weights and arrays of strangers must not run code: no pickle, joblib, torch.load, allow_pickle."""
    wrong = []
    for name, path in modules().items():
        wrong += [f"{name}:{n}" for m, n in imports(path) if m.split(".")[0] in ("pickle", "joblib", "dill")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                wrong.append(f"{name}:{node.value.lineno} allow_pickle")
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                wrong.append(f"{name}:{node.lineno} torch.load")
    assert not wrong, "\n".join(wrong)
