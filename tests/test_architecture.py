"""Who may import whom, read from the source: no cycles, and imports only point down the layers."""

import ast
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = {"acne_runtime": "runtime", "acne_export": "export", "acne_trainer": "trainer", "acne_monitor": "monitor"}

# From top to bottom; a module imports from the layers below its own, and from its own as long as there is no cycle.
LAYERS = {
    "acne_runtime": (
        ("cli",),
        ("archive",),
        ("load", "predictors", "sinks"),
        ("sources",),
        ("model",),
        ("backends", "postprocess", "preprocess"),
        ("result",),
        ("manifest", "severity", "draw", "frame", "quality"),
        ("errors", "digest", "atomic_write", "run_folder", "parallel"),
    ),
    "acne_export": (
        ("cli",),
        ("exporting",),
        ("conversion",),
        ("exporters",),
        ("reference", "verification", "tflite_export", "onnx_export", "bench"),
        ("validation", "graph", "quantization"),
        ("recipe", "accuracy", "run_folder", "describe", "golden"),
    ),
    "acne_trainer": (
        ("__main__",),
        ("cli",),
        ("train", "recipe"),
        ("finalize", "reports"),
        ("evaluation", "tasks", "audit"),
        ("training",),
        ("config",),
        ("metrics", "losses", "models"),
        ("data", "run_folder", "distributed"),
        ("model_names",),
    ),
    "acne_monitor": (
        ("cli",),
        ("serve",),
        ("reports", "exchange"),
        ("history",),
        ("following",),
        ("detector", "comparing", "store"),
    ),
}


@cache
def modules():
    """Source files by module name; a package's is that of its `__init__.py`."""
    found = {}
    for package, root in ROOTS.items():
        for file in (REPOSITORY / root / package).rglob("*.py"):
            parts = file.relative_to(REPOSITORY / root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def import_nodes(node, at_import_time):
    """Import statements in a syntax tree; those that run when the module is imported, or all but type-only ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_type_checking(child) or (
            at_import_time and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            continue
        else:
            yield from import_nodes(child, at_import_time)


@cache
def imports_of(module, at_import_time):
    """Our own modules that a module imports."""
    imported = set()
    for node in import_nodes(ast.parse(modules()[module].read_text()), at_import_time):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{module} has a relative import"
            names = [
                submodule if (submodule := f"{node.module}.{alias.name}") in modules() else node.module
                for alias in node.names
            ]
        imported |= {name for name in names if name in modules()}
    return imported


def layer_of(module):
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return next(number for number, rooms in enumerate(LAYERS[package]) if room in rooms)


def test_no_modules_import_each_other_in_a_cycle():
    finished, path = set(), []

    def visit(module):
        if module in path:
            pytest.fail(" -> ".join([*path[path.index(module) :], module]))
        if module in finished:
            return
        path.append(module)
        for imported in sorted(imports_of(module, at_import_time=True)):
            visit(imported)
        finished.add(path.pop())

    for module in sorted(modules()):
        visit(module)


def test_packages_import_only_the_runtime():
    arrows = {
        (module.partition(".")[0], imported.partition(".")[0])
        for module in modules()
        for imported in imports_of(module, at_import_time=False)
    }
    between = {(source, target) for source, target in arrows if source != target}
    assert between == {(package, "acne_runtime") for package in ("acne_export", "acne_trainer", "acne_monitor")}


@pytest.mark.parametrize("package", LAYERS)
def test_every_room_has_a_layer(package):
    rooms = {module.split(".")[1] for module in modules() if module.startswith(f"{package}.")}
    assert rooms == {room for layer in LAYERS[package] for room in layer}


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_down_the_layers(package):
    """Imports inside functions count too: they are there for speed, not to get around the layers."""
    upward = [
        f"{module} -> {imported}"
        for module in sorted(modules())
        for imported in sorted(imports_of(module, at_import_time=False))
        if module.startswith(f"{package}.") and imported.startswith(f"{package}.")
        if layer_of(imported) < layer_of(module)
    ]
    assert upward == []


DATES = {
    "acne_runtime.cli.pipeline",  # names of files
    "acne_monitor.cli.visits",
    "acne_monitor.following",
    "acne_monitor.serve.app",
    "acne_monitor.store.store",
}


def test_the_clock_that_may_jump_gives_dates_alone():
    """Durations are of `monotonic` or `perf_counter`: a clock that is set must not stall a camera or end a wait."""
    jumping = {
        name
        for name, file in modules().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "datetime.now", "datetime.utcnow"))
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "time" for a in node.names))
    }
    assert jumping == DATES
