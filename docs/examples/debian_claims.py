#!/usr/bin/env python3
"""Convert Debian's package indexes to StemeDB claims, one JSON object a line.

Reads the `Packages` files that `apt-get update` leaves in /var/lib/apt/lists, plain or compressed
(.gz, .xz, .bz2; .lz4 by means of apt's own helper), and writes newline-delimited JSON for
`stemedb-admin import`. Needs Python 3.8 or newer and nothing else.

Every field of every package becomes one claim:

  concept_path   debian/package/<name>
  predicate      the field's name in lower case, '-' written '_': version, installed_size, depends, ...
  value          a number for Size and Installed-Size, true or false for yes/no fields, else text
  source         source/<origin>/<codename>, e.g. source/debian/bookworm-security
  source_class   by the kind of suite, see below
  timestamp      the Date of the suite's Release file

Suites contradict each other, which is the point: a package has one version by the release, another
by its security suite. The source class says whose word weighs more:

  *-security   regulatory     the security team's word is to be followed
  a release    clinical       tried in `testing` before it was released
  *-updates    observational  let in ahead of the next point release, because of what was seen in use
  *-backports  community      as is; not part of the release's promise

The output depends on the input files alone. Converting the same files again gives the same claims, so
importing them twice stores them once.
"""

import argparse
import bz2
import calendar
import contextlib
import email.utils
import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from json.encoder import encode_basestring as json_text

LISTS_DIR = "/var/lib/apt/lists"
VALUE_BYTES_MAX = 64 * 1024  # The longest value a claim may have.

NUMBER_FIELDS = {"installed_size", "size"}
YES_NO_FIELDS = {"build_essential", "essential", "important", "protected"}
MULTILINE_FIELDS = {"description"}  # Their line breaks mean something; other fields are merely folded.

INDEX_NAME = re.compile(r"(?P<suite>.+)_[^_]+_binary-[^_]+_Packages(\.(gz|xz|bz2|lz4))?")

Suite = namedtuple("Suite", "source source_class timestamp")
Counts = namedtuple("Counts", "packages claims too_long")


def main(arguments=None):
    options = parse_arguments(arguments)
    try:
        paths = options.files or index_files(options.lists)
        output = open(options.output, "w", encoding="utf-8") if options.output else sys.stdout
        with contextlib.ExitStack() as stack:
            if options.output:
                stack.enter_context(output)
            convert_files(paths, output)
        return 0
    except BrokenPipeError:
        # The reader has seen enough. Leave nothing for the interpreter to flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError) as error:
        report(f"debian_claims.py: {error}")
        return 1


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="PACKAGES", help="index files (default: all in --lists)")
    parser.add_argument("--lists", default=LISTS_DIR, metavar="DIR", help="apt's lists (default: %(default)s)")
    parser.add_argument("--output", metavar="FILE", help="where to write the claims (default: standard output)")
    return parser.parse_args(arguments)


def index_files(lists_dir):
    """The `Packages` files in apt's directory of lists, in a fixed order."""
    names = sorted(name for name in os.listdir(lists_dir) if INDEX_NAME.fullmatch(name))
    if not names:
        raise ValueError(f"no *_Packages files in {lists_dir}: run `apt-get update` first, or name the files")
    return [os.path.join(lists_dir, name) for name in names]


def convert_files(paths, output):
    """Convert all files; report each, and the contradictions among them, on standard error."""
    versions = {}
    for path in paths:
        suite = read_suite(path)
        counts = convert(open_index(path), suite, output, versions)
        converted = f"{counts.packages} packages, {counts.claims} claims"
        report(f"{suite.source} ({suite.source_class}): {converted}")
        if counts.too_long:
            report(f"  left out, longer than {VALUE_BYTES_MAX} bytes: {', '.join(counts.too_long)}")
    output.flush()
    contested = sum(1 for found in versions.values() if len(found) > 1)
    report(f"{len(versions)} packages in all, {contested} of them with more than one version")


def report(message):
    print(message, file=sys.stderr)


def convert(lines, suite, output, versions):
    """Write the claims of one index.

    `versions` collects, for each package, the versions that were claimed for it.

    >>> suite = Suite("source/debian/bookworm", "clinical", 1783764997)
    >>> versions = {}
    >>> convert(["Package: zsh\\n", "Version: 5.9-4\\n", "\\n"], suite, sys.stdout, versions)
    {"concept_path":"debian/package/zsh","predicate":"version","value":"5.9-4","source":"source/debian/bookworm",\
"source_class":"clinical","timestamp":1783764997}
    Counts(packages=1, claims=1, too_long=[])
    >>> versions
    {'zsh': {'5.9-4'}}
    """
    source = f'"source":{json_text(suite.source)},"source_class":"{suite.source_class}"'
    tail = f',{source},"timestamp":{suite.timestamp}}}\n'
    packages, claims, too_long = 0, 0, []
    for stanza in stanzas(lines):
        name = stanza.pop("package")
        packages += 1
        versions.setdefault(name, set()).add(stanza.get("version"))
        head = f'{{"concept_path":{json_text("debian/package/" + name)},"predicate":"'
        for field, text in stanza.items():
            if len(text) * 4 > VALUE_BYTES_MAX and len(text.encode()) > VALUE_BYTES_MAX:
                too_long.append(f"{name} {field}")
                continue
            output.write(f'{head}{field}","value":{json_value(field, text)}{tail}')
            claims += 1
    return Counts(packages, claims, too_long)


def json_value(field, text):
    """The value of a field as JSON.

    >>> json_value("size", "901468"), json_value("essential", "yes"), json_value("section", "shells")
    ('901468', 'true', '"shells"')
    >>> json_value("size", "many")
    '"many"'
    """
    if field in NUMBER_FIELDS and text.isascii() and text.isdigit():
        return str(int(text))
    if field in YES_NO_FIELDS and text in ("yes", "no"):
        return "true" if text == "yes" else "false"
    return json_text(text)


def stanzas(lines):
    """Split an index into packages: one dict a package, from the field's name to its text, both cleaned.

    Fields without text, and stanzas without `Package`, say nothing and are left out.

    >>> list(stanzas(["Package: a\\n", "Tag: x::y,\\n", " z\\n", "Build-Ids: \\n", "\\n", "Size: 1\\n", "\\n", "Package: b"]))
    [{'package': 'a', 'tag': 'x::y, z'}, {'package': 'b'}]
    >>> list(stanzas(["Package: a\\n", "Description: short\\n", " long\\n", " .\\n", " end\\n"]))
    [{'package': 'a', 'description': 'short\\nlong\\n\\nend'}]
    """
    stanza, field = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if "package" in stanza:
                yield without_empty(stanza)
            stanza, field = {}, None
        elif line[0] in " \t":
            if field in MULTILINE_FIELDS:
                text = line[1:]
                stanza[field] += "\n" + ("" if text == "." else text)
            elif field is not None:
                stanza[field] = (stanza[field] + " " + line.strip()).lstrip()
        else:
            name, colon, text = line.partition(":")
            if not colon:
                raise ValueError(f"not a line of a Packages file: {line[:80]!r}")
            field = name.lower().replace("-", "_")
            stanza[field] = text.strip()
    if "package" in stanza:
        yield without_empty(stanza)


def without_empty(stanza):
    return {field: text for field, text in stanza.items() if text}


def read_suite(index_path):
    """What the Release file beside an index says about its suite."""
    directory, name = os.path.split(index_path)
    match = INDEX_NAME.fullmatch(name)
    if not match:
        expected = "<mirror>_dists_<suite>_<component>_binary-<architecture>_Packages"
        raise ValueError(f"{index_path}: the name does not say its suite; expected {expected}")
    for release_name in (match["suite"] + "_InRelease", match["suite"] + "_Release"):
        release_path = os.path.join(directory, release_name)
        if os.path.exists(release_path):
            with open(release_path, encoding="utf-8") as release:
                return suite_of_release(release, release_path)
    wanted = f"{match['suite']}_InRelease or _Release"
    raise ValueError(f"{index_path}: no {wanted} beside it, which would say the suite's name and date")


def suite_of_release(lines, name):
    """
    >>> lines = ["Origin: Debian", "Codename: bookworm-security", "Date: Wed, 18 Nov 2026 22:17:41 UTC"]
    >>> suite_of_release(lines, "Release")
    Suite(source='source/debian/bookworm-security', source_class='regulatory', timestamp=1795040261)
    """
    fields = {}
    for line in lines:
        key, colon, text = line.partition(":")
        if colon and key not in fields:
            fields[key] = text.strip()
    missing = [key for key in ("Origin", "Codename", "Date") if not fields.get(key)]
    if missing:
        raise ValueError(f"{name}: no {', '.join(missing)} in it")
    date = email.utils.parsedate(fields["Date"])
    if date is None:
        raise ValueError(f"{name}: Date is not a date: {fields['Date']!r}")
    origin = re.sub(r"[^a-z0-9.-]+", "-", fields["Origin"].lower())
    codename = fields["Codename"]
    return Suite(f"source/{origin}/{codename}", source_class(codename), calendar.timegm(date))


def source_class(codename):
    """
    >>> [source_class("bookworm" + ending) for ending in ("", "-security", "-updates", "-backports")]
    ['clinical', 'regulatory', 'observational', 'community']
    """
    for ending, kind in (("-security", "regulatory"), ("-updates", "observational"), ("-backports", "community")):
        if codename.endswith(ending):
            return kind
    return "clinical"


def open_index(path):
    """The lines of an index file, unpacked while they are read."""
    openers = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    ending = os.path.splitext(path)[1]
    if ending == ".lz4":
        return lines_of_command(lz4_command(path), path)
    return openers.get(ending, open)(path, "rt", encoding="utf-8")


def lz4_command(path):
    """Python cannot read LZ4. apt, which wrote the file, can; so can lz4 itself."""
    apt_helper = "/usr/lib/apt/apt-helper"
    if os.access(apt_helper, os.X_OK):
        return [apt_helper, "cat-file", path]
    if shutil.which("lz4"):
        return ["lz4", "-dc", path]
    raise ValueError(f"{path}: neither {apt_helper} nor lz4 is here to unpack it")


def lines_of_command(command, path):
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield from process.stdout
    if process.returncode != 0:
        raise ValueError(f"{path}: `{' '.join(command)}` failed with status {process.returncode}")


if __name__ == "__main__":
    sys.exit(main())
