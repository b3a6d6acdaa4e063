#!/usr/bin/env python3
"""Tests of suites.py: a small module with one suite each."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from suites import faults  # noqa: E402

FIXTURE = "final class ClusterScene {\n    let cluster = try RedisCluster(replicas: 0)\n}\n"


class Suites(unittest.TestCase):
    def faults(self, suite, fixture=FIXTURE):
        with tempfile.TemporaryDirectory() as folder:
            module = pathlib.Path(folder, "Tests/ATests")
            module.mkdir(parents=True)
            (module / "Scene.swift").write_text(fixture, encoding="utf-8")
            (module / "SuiteTests.swift").write_text("import Lab\n\n" + suite, encoding="utf-8")
            return list(faults(pathlib.Path(folder)))

    def suite(self, line, head="@Suite struct `A suite` {"):
        return f"{head}\n    @Test func `does it`() {{\n        {line}\n    }}\n}}\n"

    def test_what_makes_no_cluster_may_be_anywhere(self):
        self.assertEqual(self.faults(self.suite("_ = try RedisServer()")), [])

    def test_a_cluster_of_its_own(self):
        self.assertEqual(self.faults(self.suite("_ = try RedisCluster()")), ["Tests/ATests/SuiteTests.swift:3"])

    def test_a_session_in_this_process(self):
        self.assertEqual(len(self.faults(self.suite("_ = await ReplicationSession(task)"))), 1)

    def test_a_cluster_of_a_fixture(self):
        self.assertEqual(len(self.faults(self.suite("_ = try ClusterScene()"))), 1)

    def test_a_fixture_of_another_file_that_is_private(self):
        self.assertEqual(self.faults(self.suite("_ = try ClusterScene()"), "private " + FIXTURE), [])

    def test_a_fixture_of_a_fixture(self):
        outer = "struct Outer {\n    let scene = ClusterScene()\n}\n"
        self.assertEqual(len(self.faults(outer + self.suite("_ = Outer()"))), 1)

    def test_a_suite_that_runs_alone(self):
        self.assertEqual(self.faults(self.suite("_ = try RedisCluster()", "extension RunAlone.`A suite` {")), [])


if __name__ == "__main__":
    unittest.main()
