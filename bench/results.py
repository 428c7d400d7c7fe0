"""What the reports of bench/ share: when a measurement counts, spreads, tables, files (standard library only)."""
import datetime
import json
import os
import subprocess
from pathlib import Path
from statistics import median

import machine

ROOT = Path(__file__).resolve().parent.parent
SLOW = 0.85   # of the best FMA peak seen: measurements below do not count
TAKEN = 0.05  # of all processor time by others: measurements above do not count


def spread(values):
    return {"median": median(values), "min": min(values), "max": max(values)}


def words(values, form="{:.1f}", unit="", scale=1.0):
    """A spread as "median unit (minimum–maximum)"."""
    shown = {key: form.format(value * scale) for key, value in values.items()}
    return f"{shown['median']}{unit} ({shown['min']}–{shown['max']})"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|",
            *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""]


def commit():
    git = lambda *arguments: subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()
    changed = " (and uncommitted changes)" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def facts():
    """Where and when."""
    return {"date": datetime.date.today().isoformat(), "CPU": machine.cpu_name(), "threads": os.cpu_count(),
            "commit": commit()}


def write(directory, name, data, report, figure):
    """NAME.json, .md and .svg in `directory`; `report` is called with the figure's file name. Returns the report's path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    (directory / f"{name}.svg").write_text(figure)
    path = directory / f"{name}.md"
    path.write_text(report(f"{name}.svg"))
    return path
