"""Tests of debian_claims.py: run `python3 docs/examples/test_debian_claims.py`."""

import contextlib
import doctest
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import debian_claims

SCRIPT = debian_claims.__file__

RELEASE = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: Debian
Suite: oldstable
Codename: {codename}
Date: Sat, 11 Jul 2026 10:16:37 UTC
Description: Debian 12.15 Released 11 July 2026
"""

PACKAGES = """Package: openssh-client
Source: openssh
Version: {version}
Installed-Size: 5792
Maintainer: Debian OpenSSH Maintainers <debian-ssh@lists.debian.org>
Description: secure shell "client" — ü
Tag: implemented-in::c, interface::commandline,
 role::program
Essential: no
Build-Ids:

"""


class Conversion(unittest.TestCase):
    """Each test has a directory of lists as apt would leave it."""

    def setUp(self):
        lists = tempfile.TemporaryDirectory()
        self.addCleanup(lists.cleanup)
        self.lists = lists.name

    def add_suite(self, codename, packages, opener=open, ending=""):
        prefix = os.path.join(self.lists, f"deb.example.org_debian_dists_{codename}_")
        with open(prefix + "InRelease", "w", encoding="utf-8") as release:
            release.write(RELEASE.format(codename=codename))
        path = prefix + "main_binary-amd64_Packages" + ending
        with opener(path, "wt", encoding="utf-8") as index:
            index.write(packages)
        return path

    def convert(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = debian_claims.main(["--lists", self.lists, *arguments])
        return status, out.getvalue(), err.getvalue()

    def test_every_field_of_a_package_becomes_one_claim(self):
        self.add_suite("bookworm", PACKAGES.format(version="1:9.2p1-2+deb12u7"))
        status, out, _ = self.convert()
        claims = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(status, 0)
        self.assertEqual(
            {claim["predicate"]: claim["value"] for claim in claims},
            {
                "source": "openssh",
                "version": "1:9.2p1-2+deb12u7",
                "installed_size": 5792,
                "maintainer": "Debian OpenSSH Maintainers <debian-ssh@lists.debian.org>",
                "description": 'secure shell "client" — ü',
                "tag": "implemented-in::c, interface::commandline, role::program",
                "essential": False,
            },
        )
        for claim in claims:
            self.assertEqual(claim["concept_path"], "debian/package/openssh-client")
            self.assertEqual(claim["source"], "source/debian/bookworm")
            self.assertEqual(claim["source_class"], "clinical")
            self.assertEqual(claim["timestamp"], 1783764997)

    def test_suites_contradict_each_other_by_source_and_class(self):
        self.add_suite("bookworm", PACKAGES.format(version="1"))
        self.add_suite("bookworm-security", PACKAGES.format(version="2"), gzip.open, ".gz")
        status, out, err = self.convert()
        versions = {
            (claim["value"], claim["source"], claim["source_class"])
            for claim in map(json.loads, out.splitlines())
            if claim["predicate"] == "version"
        }
        self.assertEqual(status, 0)
        self.assertEqual(
            versions,
            {
                ("1", "source/debian/bookworm", "clinical"),
                ("2", "source/debian/bookworm-security", "regulatory"),
            },
        )
        self.assertIn("1 packages in all, 1 of them with more than one version", err)

    def test_converting_again_gives_the_same_bytes(self):
        self.add_suite("bookworm", PACKAGES.format(version="1"))
        self.assertEqual(self.convert()[1], self.convert()[1])

    def test_a_value_longer_than_a_claim_may_hold_is_left_out_and_named(self):
        self.add_suite("bookworm", "Package: big\nProvides: " + "ü" * 32769 + "\nSize: 1\n")
        status, out, err = self.convert()
        self.assertEqual(status, 0)
        self.assertEqual([json.loads(line)["predicate"] for line in out.splitlines()], ["size"])
        self.assertIn("left out, longer than 65536 bytes: big provides", err)

    def test_output_goes_to_a_file_when_asked(self):
        self.add_suite("bookworm", PACKAGES.format(version="1"))
        path = os.path.join(self.lists, "claims.ndjson")
        self.assertEqual(self.convert("--output", path)[:2], (0, ""))
        with open(path, encoding="utf-8") as written:
            self.assertEqual(written.read(), self.convert()[1])

    def test_no_index_no_release_and_no_date_are_explained(self):
        self.assertIn("run `apt-get update` first", self.convert()[2])
        path = self.add_suite("bookworm", PACKAGES.format(version="1"))
        release = path.replace("main_binary-amd64_Packages", "InRelease")
        with open(release, "w", encoding="utf-8") as file:
            file.write("Origin: Debian\nCodename: bookworm\n")
        status, _, err = self.convert()
        self.assertEqual(status, 1)
        self.assertIn("no Date in it", err)
        os.remove(release)
        self.assertIn("_InRelease or _Release beside it", self.convert()[2])

    @unittest.skipUnless(shutil.which("lz4"), "needs lz4 to make the input")
    def test_lz4_as_apt_keeps_it_is_read(self):
        path = self.add_suite("bookworm", PACKAGES.format(version="1"))
        expected = self.convert()[1]
        subprocess.run(["lz4", "-q", "--rm", path, path + ".lz4"], check=True)
        self.assertEqual(self.convert()[:2], (0, expected))

    def test_a_reader_that_stops_early_is_no_error_to_shout_about(self):
        self.add_suite("bookworm", PACKAGES.format(version="1") * 2000)
        command = [sys.executable, SCRIPT, "--lists", self.lists]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.returncode, 1)


def load_tests(_loader, tests, _pattern):
    tests.addTests(doctest.DocTestSuite(debian_claims))
    return tests


if __name__ == "__main__":
    unittest.main()
