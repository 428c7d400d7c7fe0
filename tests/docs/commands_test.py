#!/usr/bin/env python3
"""What the documents tell readers to type, typed; their links, followed.

usage: commands_test.py ESMM_GPU

How code blocks of README.md, CONTRIBUTING.md and docs/*.md are read:
```console   each line after "$ " is run by bash. The lines below it are its output on stdout and must have its shape:
             numbers and their units are free, a line "…" stands for any lines; "info:" and "warning:" lines are left
             out, being stderr's.
```sh        the block is run by bash as one script.
indented, "```sh not run: REASON", and `esmm_gpu …` or `--flag` in a sentence
             are looked up: commands, scripts and presets must exist and have the flags.

All pages run in one directory, in the order of PAGES, so that a page may use what README.md has made. `esmm_gpu` is the
given program, `--rows N` becomes a tenth of N. Every relative link must lead to a file, and to a heading of it.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/your_logs.md", "docs/ali_ccp.md", "docs/tuning.md", "docs/serving.md"]
FOREIGN = "docs/profiling.md"  # where a flag alone may be that of another program
SHRINK = 10
SCRIPT = re.compile(r"(?:\./)?((?:bench|tests|examples|\.ci)/[\w/.-]+\.(?:py|sh)|(?:test|quickstart)\.sh)$")
FLAG = re.compile(r"--[a-z][a-z0-9-]*")


class Block:
    """A code block: where it is, how it is marked, its lines."""

    def __init__(self, page, line, kind):
        self.page, self.line, self.kind, self.lines = page, line, kind, []

    def place(self, offset=0):
        return "{}:{}".format(self.page, self.line + offset)


def blocks(page):
    """The code blocks of a page: fenced ones by their info string, indented ones as "indented"."""
    found, fence = [], None
    before = ""
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if fence:
            if line.startswith("```"):
                fence = None
            else:
                fence.lines.append(line)
        elif line.startswith("```"):
            fence = Block(page, number + 1, line[3:].strip())
            found.append(fence)
        elif line.startswith("    ") and (not before or before.startswith("    ")):
            if not before or not found or found[-1].kind != "indented":
                found.append(Block(page, number, "indented"))
            found[-1].lines.append(line[4:])
        before = line
    return found


# ---- Commands that are run ------------------------------------------------------------------------------------------

def shape(line):
    """The line without what differs from run to run."""
    line = re.sub(r"\b[0-9a-f]{16}\b|\bundefined\b|-?\d[\d.,]*(?:e[+-]?\d+)?", "0", line)
    return re.sub(r"\b0 (?:bytes|[kMG]B)\b", "0 bytes", re.sub(r"\s+", " ", line)).strip()


def fits(expected, actual):
    """Whether the lines have the expected shape, where "…" stands for any lines."""
    if not expected:
        return not actual
    if expected[0].strip() == "…":
        return any(fits(expected[1:], actual[skip:]) for skip in range(len(actual) + 1))
    return bool(actual) and shape(expected[0]) == shape(actual[0]) and fits(expected[1:], actual[1:])


class Reader:
    """Types what the pages say, in one directory."""

    def __init__(self, program, work):
        self.work, self.faults, self.run_count, self.compared = work, [], 0, 0
        self.environment = dict(os.environ, PATH="{}:{}".format(Path(program).resolve().parent, os.environ["PATH"]))

    def run(self, script, place):
        """What it prints; None when it fails, which is noted."""
        small = re.sub(r"--rows (\d+)", lambda match: "--rows {}".format(int(match[1]) // SHRINK), script)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", small], cwd=self.work, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        self.run_count += 1
        if done.returncode == 0:
            return done.stdout.splitlines()
        self.faults.append("{}: exit {}: {}\n{}".format(place, done.returncode, script, done.stderr.strip()))
        return None

    def console(self, block):
        starts = [i for i, line in enumerate(block.lines) if line.startswith("$ ")] + [len(block.lines)]
        for start, end in zip(starts, starts[1:]):
            command = block.lines[start][2:]
            expected = [line for line in block.lines[start + 1:end] if not re.match("(info|warning): ", line)]
            printed = self.run(command, block.place(start))
            self.compared += 1
            if printed is not None and not fits(expected, printed):
                self.faults.append("{}: {}\nprints\n  {}\nnot what the page shows".format(
                    block.place(start), command, "\n  ".join(printed)))

    def page(self, name):
        for block in blocks(name):
            if block.kind == "console":
                self.console(block)
            elif block.kind == "sh":
                self.run("\n".join(block.lines), block.place())


# ---- Commands that are looked up ------------------------------------------------------------------------------------

class Lookup:
    """Commands, scripts and presets, and whether they have the flags that a line gives them."""

    def __init__(self, program):
        self.program, self.helps, self.faults, self.count = program, {}, [], 0
        self.commands = re.findall(r"^  ([a-z]+)  ", self.help(), flags=re.M)
        scripts = [str(path) for folder in ("bench", "tests") for path in (ROOT / folder).rglob("*")
                   if path.suffix in (".py", ".sh", ".cpp")]
        self.all_flags = set(FLAG.findall(self.source(*scripts) + "".join(self.help(name) for name in self.commands)))
        presets = json.loads((ROOT / "CMakePresets.json").read_text())
        self.presets = {p["name"] for kind in ("configure", "build", "test") for p in presets[kind + "Presets"]}

    def help(self, *command):
        if command not in self.helps:
            self.helps[command] = subprocess.run([self.program, *command, "--help"], check=True, capture_output=True,
                                                 text=True).stdout
        return self.helps[command]

    def source(self, *paths):
        return "".join((ROOT / path).read_text() for path in paths if (ROOT / path).exists())

    def known(self, words):
        """The text that must hold the flags of a command line; None: not ours. A fault is a message in a list."""
        first = os.path.basename(words[0])
        if first == "esmm_gpu":
            rest = [word for word in words[1:] if re.match(r"[a-z]+$", word)]
            if len(words) > 1 and words[1] == "COMMAND":
                return None
            command = rest[:1] if rest and words[1] == rest[0] else []
            return self.help(*command) if not command or command[0] in self.commands else [
                "there is no command esmm_gpu {}".format(command[0])]
        if first == "esmm_bench_step":
            return self.source("bench/step.cpp") + self.help("train")
        if first == "esmm_bench_micro":
            return self.source("bench/micro.cpp") + "--benchmark-filter --benchmark-format"
        if first == "cmake" and "--preset" in words:
            name = words[words.index("--preset") + 1]
            return None if name in self.presets else ["there is no preset {}".format(name)]
        script = SCRIPT.match(words[0])
        if script:
            path = ROOT / script[1]
            return path.read_text() if path.exists() else ["there is no {}".format(script[1])]
        return None

    def line(self, text, place):
        for part in re.split(r"[;|&]+(?= )|#(?= )|`|\$\(|<\(|\)", text):
            words = part.replace("[", " ").replace("]", " ").split()
            for start in range(len(words)):
                text_with_flags = self.known(words[start:])
                if text_with_flags is None:
                    continue
                self.count += 1
                if isinstance(text_with_flags, list):
                    self.faults.append("{}: {}".format(place, text_with_flags[0]))
                    break
                for flag in FLAG.findall(" ".join(words[start + 1:]).replace("_", "-")):
                    if not re.search(re.escape(flag) + r"(?![\w-])", text_with_flags):
                        self.faults.append("{}: {} has no {}".format(place, words[start], flag))
                break

    def page(self, name):
        fenced = False
        for block in blocks(name):
            if block.kind != "indented" and not block.kind.startswith("sh not run: "):
                continue
            text = re.sub(r"\\\n\s*|\n\s+(?=\[)", " ", "\n".join(block.lines))
            for line in text.splitlines():
                self.line(line, block.place())
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            fenced ^= line.startswith("```")
            if not fenced and not line.startswith("    "):
                for span in re.findall(r"`([^`]+)`", line):
                    self.line(span, "{}:{}".format(name, number))
                    flag = FLAG.match(span)
                    if flag and flag[0] not in self.all_flags and name != FOREIGN:
                        self.faults.append("{}:{}: nothing has {}".format(name, number, flag[0]))


# ---- Links and the transcript ---------------------------------------------------------------------------------------

def anchors(path):
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ +(.*)$", text, flags=re.M)}


def broken_links(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        if not path.exists():
            yield "{}: {} does not exist".format(page, target)
        elif anchor and anchor not in anchors(path):
            yield "{}: {} has no such heading".format(page, target)


def quickstart_differs():
    """README.md's session must be what quickstart.sh does."""
    script = [line.replace("$esmm_gpu", "esmm_gpu") for line in (ROOT / "quickstart.sh").read_text().splitlines()
              if line.startswith("$esmm_gpu")]
    session = [line[2:] for block in blocks("README.md") if block.kind == "console"
               for line in block.lines if line.startswith("$ ")]
    if script != session:
        yield "README.md: its session is not quickstart.sh's:\n  {}\n  {}".format(session, script)


def main():
    program = sys.argv[1]
    pages = ["README.md", "CONTRIBUTING.md"] + sorted("docs/" + path.name for path in (ROOT / "docs").glob("*.md"))
    lookup = Lookup(program)
    with tempfile.TemporaryDirectory() as work:
        reader = Reader(program, work)
        onnx = "no ONNX library" not in subprocess.run([program, "export", "--run", "none", "--out", "none"],
                                                       capture_output=True, text=True).stderr
        for page in PAGES:
            if onnx or page != "docs/serving.md":
                reader.page(page)
    faults = reader.faults + list(quickstart_differs())
    for page in pages:
        lookup.page(page)
        faults += broken_links(page)
        if page not in PAGES and any(block.kind in ("console", "sh") for block in blocks(page)):
            faults.append("{}: has commands to run, but is not among PAGES".format(page))
    faults += lookup.faults
    faults.append("{} blocks and commands run, {} outputs compared, {} commands looked up, {} faults".format(
        reader.run_count, reader.compared, lookup.count, len(faults)))
    print("\n".join(faults))
    return len(faults) > 1 or reader.run_count < 15 or lookup.count < 60


if __name__ == "__main__":
    sys.exit(main())
