#!/usr/bin/env python3
"""Tests of references.py: a small repository with one fault each."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from references import Checker  # noqa: E402

PROTOCOL = """# Protocol

## 1. Greeting

### 1.7 Versions

See §5.6, §1-5, <doc:Guide> and <doc:Guide#Where-to-look>.

## 5. Journal

### 5.6 Divergences

| # | Case |
|---|---|
| 10 | groups |

```
### 7.7 In a block of code §9.9
```

**V18 stream** bytes
"""
GUIDE = "# Guide\n\n## Where to look\n\nProtocol 5.6 row 10, `Reader.read`, `Reader.State.idle`, `Reader.swift`, `SIGTERM`.\n"
READER = "/// Reads (Protocol 1.7, 5.6).\nstruct Reader {\n    enum State { case idle }\n    func read() {}\n}\n"


class References(unittest.TestCase):
    def faults(self, **files):
        contents = {
            "Sources/A/A.docc/Protocol.md": PROTOCOL, "Sources/A/A.docc/Guide.md": GUIDE,
            "Sources/A/Reader.swift": READER, "README.md": "[guide](Sources/A/A.docc/Guide.md)\n",
        }
        contents.update({name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()})
        with tempfile.TemporaryDirectory() as folder:
            for name, text in contents.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return Checker(folder).run()

    def code(self, text):
        return self.faults(Sources__A__B_dot_swift=text)

    def guide(self, text):
        return self.faults(**{"Sources__A__A_dot_docc__Guide_dot_md": GUIDE + text})

    def test_what_resolves_is_no_fault(self):
        self.assertEqual(self.faults(), [])

    def test_forms_of_a_citation(self):
        self.assertEqual(self.code("// Protocol 1.7, 5.6 and 5, Protocol 1-5, Protocol 5.6 row 10, Protocol V18.\n"), [])
        self.assertEqual(self.code("// the Protocol, 12 rows of it; protocol 9.9 is a version\n"), [])
        self.assertEqual(self.code("let v = table.row(3) // rows of a table\n"), [])

    def test_an_unknown_section(self):
        self.assertEqual(self.code("// x\n// Protocol 9.9\n"), ["Sources/A/B.swift:2: Protocol has no 9.9"])
        self.assertEqual(self.code("// Protocol 1.7, 9.9\n"), ["Sources/A/B.swift:1: Protocol has no 9.9"])
        self.assertEqual(self.code("// Protocol 7.7\n"), ["Sources/A/B.swift:1: Protocol has no 7.7"])

    def test_a_citation_over_two_lines(self):
        self.assertEqual(self.code("/// a (Protocol\n    /// 9.9)\n"), ["Sources/A/B.swift:1: Protocol has no 9.9"])
        self.assertEqual(self.code("/// a (Protocol 5.6\n/// row 10)\n"), [])

    def test_an_unknown_row_and_vector(self):
        self.assertEqual(
            self.code("// Protocol 5.6 row 11, Protocol V19\n"),
            ["Sources/A/B.swift:1: Protocol 5.6 has no row 11", "Sources/A/B.swift:1: Protocol has no V19"])

    def test_a_place_without_its_document(self):
        self.assertEqual(len(self.code("// as in section 3.7\n")), 1)
        self.assertEqual(len(self.code("// sections 3 and 4\n")), 1)
        self.assertEqual(len(self.code("// row 12\n")), 1)
        self.assertEqual(len(self.code("// protocol notes 5.6\n")), 1)
        self.assertEqual(len(self.code("// §5.6\n")), 1)

    def test_a_section_of_its_own_that_a_document_lacks(self):
        self.assertEqual(
            self.faults(**{"Sources__A__A_dot_docc__Protocol_dot_md": PROTOCOL + "\n§8.8\n"}),
            ["Sources/A/A.docc/Protocol.md:23: §8.8 is not in this document"])

    def test_a_section_that_is_there_twice(self):
        self.assertIn("section 1.7 is there twice",
                      self.faults(**{"Sources__A__A_dot_docc__Protocol_dot_md": PROTOCOL + "\n### 1.7 Again\n"})[0])

    def test_links(self):
        self.assertEqual(len(self.guide("<doc:Nothing>\n")), 1)
        self.assertEqual(len(self.guide("<doc:Protocol#1.7-Version>\n")), 1)
        self.assertEqual(self.guide("<doc:Protocol#1.7-Versions>\n"), [])
        self.assertEqual(len(self.faults(README_dot_md="[guide](Guide.md)\n")), 1)
        self.assertEqual(self.faults(README_dot_md="[swift](https://swift.org)\n"), [])

    def test_a_variable_of_the_environment_that_nobody_describes(self):
        code = 'let seed = environment["SEED"]\n'
        self.assertEqual(self.code(code), ["Sources/A/B.swift:1: SEED is described nowhere"])
        manual = {"Sources__A__B_dot_swift": code, "packaging__man__a_dot_1": ".B SEED\n"}
        self.assertEqual(self.faults(**manual), [])

    def test_names_of_the_code(self):
        for name in ("Writer", "Reader.write", "Reader.State.busy", "Writer.swift", "Sources/B/Reader.swift"):
            self.assertEqual(len(self.guide(f"`{name}`\n")), 1, name)


if __name__ == "__main__":
    unittest.main()
