#!/usr/bin/env python3
"""Suites that need the machine to themselves belong to RunAlone, which make test runs after all others.

Such a suite makes a real cluster, or runs a session in the test's process: itself, or through a type of its module that does.
"""

import pathlib
import re
import sys

MAKERS = {"RedisCluster", "ReplicationSession", "Replicator"}
DECLARED = re.compile(r"^((?:private |fileprivate |final )*)(?:struct|class|actor|enum|extension) +`?(\w+)", re.M)


def blocks(path):
    """The top-level declarations of a formatted file: line, text."""
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^(?=@|(?:private |fileprivate |final )*(?:struct|class|actor|enum|extension) ).*?^\}", text, re.M | re.S):
        yield text.count("\n", 0, found.start()) + 1, found[0]


def uses(text, names):
    return any(re.search(rf"(?<![.\w]){name}[.(]", text) for name in names)


def faults(root):
    for module in sorted(root.glob("Tests/*Tests")):
        declarations = [(path, line, text) for path in sorted(module.rglob("*.swift")) for line, text in blocks(path)]
        # Names of types that make one, by the file that may use them; None: all of the module.
        makers = {None: set(MAKERS)}
        while True:
            found = {
                (path if "private" in name[1] else None, name[2]) for path, _, text in declarations
                if "@Test" not in text and uses(text, makers[None] | makers.get(path, set()))
                and (name := DECLARED.search(text)) and name[2] != "RunAlone"}
            if all(name in makers.get(place, ()) for place, name in found):
                break
            for place, name in found:
                makers.setdefault(place, set()).add(name)
        for path, line, text in declarations:
            if "@Test" in text and "extension RunAlone" not in text and uses(text, makers[None] | makers.get(path, set())):
                yield f"{path.relative_to(root)}:{line}"


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    found = list(faults(root if root.is_dir() else root.parent.parent))
    for place in found:
        print(f"error: {place}: a suite that makes a cluster or runs a session belongs to RunAlone", file=sys.stderr)
    sys.exit(bool(found))
