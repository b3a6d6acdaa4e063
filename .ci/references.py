#!/usr/bin/env python3
"""Checks that every reference from code and between documents resolves.

The documents are the DocC catalogs' pages (Sources/*/*.docc/*.md). A reference is written in one form, the document's
name and a section's number: `Protocol 5.6`, `Protocol 1.7, 5.6`, `Protocol 5.2-5.5`, `Protocol 5.6 row 10` (a row of a
table that numbers its rows), `Protocol V18` (a test vector). Inside a document its own sections are `§5.6`.

usage: references.py [FOLDER]     Prints each fault as file:line: text, and exits with 1 when there is one.
"""

import bisect
import os
import pathlib
import re
import sys

CODE = (".swift", ".c", ".h", ".bash", ".sh", ".service", ".target", ".catalog", ".yaml", ".1", ".5")
NUMBER = r"\d+(?:\.\d+)*"
VECTOR = r"V\d+"
PLACE = rf"(?:{NUMBER}|{VECTOR})"
# Never a citation of ours: no document is named.
NAMELESS = [
    (re.compile(r"\bprotocol notes\b|\bdragonfly-replication\b"), "names no document of this repository"),
    (re.compile(rf"\b[Ss]ections? {NUMBER}"), "names a section without its document"),
    (re.compile(r"§"), "'§' is for a document's own sections"),
]
ROWS = re.compile(r"\brows? \d+")


class Document:
    """One page: its numbered sections, and what can be cited in them."""

    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.text = path.read_text(encoding="utf-8")
        self.sections = set()
        self.rows = {}
        self.anchors = set()
        self.repeated = []
        self.vectors = set(re.findall(rf"^\*\*({VECTOR})\b", self.text, re.M))
        section = None
        for number, line in enumerate(without_code_blocks(self.text).split("\n"), 1):
            if heading := re.match(r"#{1,6} (.*)", line):
                title = heading[1].strip()
                self.anchors.add(re.sub(r"[^\w]+", "-", title).strip("-").lower())
                if numbered := re.match(rf"({NUMBER})\.? ", title):
                    section = numbered[1]
                    if section in self.sections:
                        self.repeated.append((number, section))
                    self.sections.add(section)
                    self.rows[section] = set()
            elif (row := re.match(r"\| *(\d+) *\|", line)) and section:
                self.rows[section].add(row[1])


class Text:
    """A text with comment signs taken out and lines joined, so that a reference may run over a line's end."""

    def __init__(self, raw):
        self.starts, parts, offset = [], [], 0
        for line in raw.split("\n"):
            line = re.sub(r"^\s*(?:///?|#+|\*|\.\\\")\s?", "", line).strip()
            self.starts.append(offset)
            parts.append(line)
            offset += len(line) + 1
        self.joined = " ".join(parts)

    def line(self, offset):
        return bisect.bisect_right(self.starts, offset)


def without_code_blocks(text):
    """The same lines, those of fenced blocks empty."""
    inside, lines = False, []
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            inside = not inside
            line = ""
        lines.append("" if inside else line)
    return "\n".join(lines)


def expand(places):
    """The places of '1.7, 5.6', '5.2-5.5', 'V2 to V8': a range gives its ends."""
    return re.findall(PLACE, places)


class Checker:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.faults = []
        self.documents = {}
        for path in sorted(self.root.glob("Sources/*/*.docc/*.md")):
            document = Document(path)
            self.documents[document.name] = document
            for line, section in document.repeated:
                self.fault(path, line, f"section {section} is there twice")
        names = "|".join(re.escape(name) for name in self.documents) or r"(?!)"
        joint = r"(?:, | and | to |-)"
        self.citation = re.compile(rf"\b({names}) ({PLACE}(?:{joint}{PLACE}\b(?!\())*)(?: rows? (\d+))?")

    def fault(self, path, line, message):
        self.faults.append(f"{path.relative_to(self.root)}:{line}: {message}")

    def run(self):
        for path in self.files():
            self.check_code(path)
        for document in self.documents.values():
            self.check_document(document)
        readme = self.root / "README.md"
        if readme.exists():
            raw = readme.read_text(encoding="utf-8")
            self.check_links(readme, raw)
            self.check_citations(readme, Text(raw))
        self.check_environment()
        return self.faults

    def files(self):
        for top in ("Sources", "Tests", "systemd", "packaging", "etc", ".ci"):
            for folder, folders, names in os.walk(self.root / top):
                folders[:] = [name for name in folders if name != "Recordings"]
                for name in sorted(names):
                    if name.endswith(CODE):
                        yield pathlib.Path(folder, name)
        for name in ("Package.swift", "Makefile"):
            if (self.root / name).exists():
                yield self.root / name

    def check_code(self, path):
        text = Text(path.read_text(encoding="utf-8"))
        cited = self.check_citations(path, text)
        for pattern, message in NAMELESS:
            for found in pattern.finditer(text.joined):
                self.fault(path, text.line(found.start()), f"'{found[0]}' {message}")
        for found in ROWS.finditer(text.joined):
            if not any(start <= found.start() < end for start, end in cited) and self.is_comment(text, path, found):
                self.fault(path, text.line(found.start()), f"'{found[0]}' names a row without its document")

    @staticmethod
    def is_comment(text, path, found):
        """Rows are also rows of something else in code and in messages: only comments are looked at."""
        line = path.read_text(encoding="utf-8").split("\n")[text.line(found.start()) - 1]
        return bool(re.match(r"\s*(//|#)", line))

    def check_citations(self, path, text):
        """Returns the ranges of the citations found."""
        ranges = []
        for found in self.citation.finditer(text.joined):
            ranges.append(found.span())
            document, line = self.documents[found[1]], text.line(found.start())
            places = expand(found[2])
            for place in places:
                if place not in document.sections and place not in document.vectors:
                    self.fault(path, line, f"{found[1]} has no {place}")
            if found[3] and found[3] not in document.rows.get(places[-1], ()):
                self.fault(path, line, f"{found[1]} {places[-1]} has no row {found[3]}")
        return ranges

    def check_document(self, document):
        raw = without_code_blocks(document.text)
        text = Text(raw)
        self.check_citations(document.path, text)
        for found in re.finditer(rf"§({NUMBER})(?:[–-]({NUMBER}))?", text.joined):
            for place in filter(None, found.groups()):
                # '§5.4-5.6' in full, or its last number alone.
                whole = place if "." in place or place in document.sections else f"{found[1].rsplit('.', 1)[0]}.{place}"
                if whole not in document.sections:
                    self.fault(document.path, text.line(found.start()), f"§{place} is not in this document")
        self.check_links(document.path, raw)
        if document.name != "Protocol":
            self.check_names(document.path, text)

    def check_environment(self):
        """Each variable of the environment that is read is described for developers or in the manual."""
        described = "".join(
            path.read_text(encoding="utf-8") for path in
            [document.path for document in self.documents.values() if document.name == "Contributing"]
            + sorted(self.root.glob("packaging/man/*")))
        read = re.compile(r'environment\["(\w+)"\]|getenv\("(\w+)"\)|\$\{([A-Z][A-Z0-9_]+):-')
        for path in self.files():
            text = path.read_text(encoding="utf-8")
            for found in read.finditer(text):
                name = found[1] or found[2] or found[3]
                if name not in ("TMPDIR", "LISTEN_FDNAMES", "LISTEN_PID") and not re.search(rf"\b{name}\b", described):
                    self.fault(path, text.count("\n", 0, found.start()) + 1, f"{name} is described nowhere")

    def check_links(self, path, raw):
        text = Text(raw)
        for found in re.finditer(r"<doc:([^>#]+)(?:#([^>]+))?>", text.joined):
            target = self.documents.get(found[1])
            line = text.line(found.start())
            if target is None:
                self.fault(path, line, f"there is no document {found[1]}")
            elif found[2] and re.sub(r"[^\w]+", "-", found[2]).lower() not in target.anchors:
                self.fault(path, line, f"{found[1]} has no heading {found[2]}")
        for found in re.finditer(r"\]\(([^)#\s]+)[^)]*\)", text.joined):
            if not re.match(r"[a-z]+:", found[1]) and not (path.parent / found[1]).exists():
                self.fault(path, text.line(found.start()), f"there is no file {found[1]}")

    # Names of the code, in backticks.

    def declarations(self):
        if not hasattr(self, "sources"):
            self.sources = {}
            for top in ("Sources", "Tests", ".ci"):
                for path in (self.root / top).rglob("*"):
                    if path.suffix in (".swift", ".bash", ".sh", ".py") and path.is_file():
                        self.sources[path] = path.read_text(encoding="utf-8")
            self.types = {}
            declared = re.compile(r"\b(?:struct|class|actor|enum|protocol|typealias|extension) +`?([A-Z]\w*)")
            for path, source in self.sources.items():
                if path.suffix == ".swift":
                    for name in declared.findall(source):
                        self.types.setdefault(name, []).append(source)
        return self.types

    def check_names(self, path, text):
        types = self.declarations()
        files = {source.name for source in self.sources} | {entry.name for entry in self.root.iterdir()}
        # Modules, and suites that a sentence names, are known by their folder and their file.
        known = {entry.name for top in ("Sources", "Tests") for entry in (self.root / top).glob("*")}
        known |= {source.stem for source in self.sources}
        for found in re.finditer(r"`([^`]+)`", text.joined):
            line, name = text.line(found.start()), found[1]
            if re.fullmatch(r"[\w/+.-]+\.(?:swift|bash|sh|py)", name):
                if name.rsplit("/", 1)[-1] not in files or ("/" in name and not (self.root / name).exists()):
                    self.fault(path, line, f"there is no file {name}")
            elif parts := re.fullmatch(r"([A-Z]\w*[a-z]\w*)((?:\.[A-Z]\w*)*)(?:\.([a-z]\w*)(?:\(.*\))?)?", name):
                if parts[1] in known and not parts[2] and not parts[3]:
                    continue
                if parts[1] not in types:
                    self.fault(path, line, f"there is no type {parts[1]}")
                    continue
                for word in parts[2].split(".")[1:] + ([parts[3]] if parts[3] else []):
                    if not any(re.search(rf"\b{word}\b", source) for source in types[parts[1]]):
                        self.fault(path, line, f"{parts[1]} has no {word}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    faults = Checker(root).run()
    # Names in the documents are notes only for as long as the types they name are being split and renamed.
    notes = [fault for fault in faults if re.search(r": there is no (?:type|file) |: \w+ has no [a-z]\w*$", fault)]
    for fault in faults:
        print(f"{'note' if fault in notes else 'error'}: {fault}", file=sys.stderr)
    return 1 if len(faults) > len(notes) else 0


if __name__ == "__main__":
    sys.exit(main())
