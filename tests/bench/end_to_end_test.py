#!/usr/bin/env python3
"""bench/end_to_end.py and bench/sweep.py: what counts and what is said of it; and both on tiny data.
    end_to_end_test.py BUILD    the directory of esmm_gpu and bench/esmm_bench_step
"""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))

import end_to_end  # noqa: E402
import machine  # noqa: E402
import sweep  # noqa: E402

BUILD = Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release"
STAGES = {"sort_ids", "pool_embeddings", "towers_forward", "two_task_loss", "towers_backward", "update"}


def command(seconds, taken=0.01, **more):
    return {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 10, "taken_by_others": taken, "impressions": 1000,
            "read_mb": 8.0, "written_mb": 1.0, **more}


def one_round(seconds, taken=0.01):
    train = command(seconds, samples_per_second=500.0, stage_seconds={"training": seconds})
    step = {"impressions": 100, "seconds": [0.5], "seconds_with_loading": [1.0], "taken_by_others": 0.01}
    return {"phases": {"convert": command(seconds, taken), "train": train}, "step": step}


def step_run(seconds, threads=2, taken=0.01, peaks=(100.0, 100.0)):
    return {"point": {"threads": threads}, "wall_seconds": 1.0, "taken_by_others": taken, "fma_gflops": list(peaks),
            "impressions": 1000, "seconds": [seconds], "stage_seconds": {"update": seconds}, "making_seconds": 0.1,
            "peak_mb": 5, "tower_gflop": 50.0 * seconds}


class EndToEnd(unittest.TestCase):
    def test_a_round_counts_for_a_command_when_others_left_the_processors_alone(self):
        result = end_to_end.summarise([one_round(1.0), one_round(2.0), one_round(9.0, taken=0.06)])
        self.assertEqual(result["phases"]["convert"]["seconds"], {"median": 1.5, "min": 1.0, "max": 2.0})
        self.assertEqual((result["phases"]["convert"]["kept"], result["phases"]["train"]["kept"]), (2, 3))
        self.assertEqual(result["phases"]["convert"]["mb_per_second"]["max"], 8.0)
        self.assertEqual(result["phases"]["convert"]["cores"]["median"], 2.0)
        self.assertNotIn("not results", end_to_end.report(result, {"date": "today"}, "figure.svg"))

    def test_a_command_that_was_never_at_rest_is_named(self):
        result = end_to_end.summarise([one_round(1.0, taken=0.5)])
        self.assertIn("every round of: convert. Those figures are not results",
                      end_to_end.report(result, {"date": "today"}, "figure.svg"))

    def test_commands_that_disagree_end_the_benchmark(self):
        with tempfile.TemporaryDirectory() as work:
            work = Path(work)
            for run in ("run", "run-from-text"):
                (work / run).mkdir()
                (work / run / "summary.json").write_text(json.dumps({"metrics": {"valid": {"ctr_auc": 0.6}}}))
            (work / "predictions.csv").write_text("sample_id,pctr\n1,0.5\n")
            end_to_end.check(work, {"ctr_auc": 0.6}, 1)
            for evaluated, rows in (({"ctr_auc": 0.5}, 1), ({"ctr_auc": 0.6}, 2)):
                with self.assertRaises(machine.Failed):
                    end_to_end.check(work, evaluated, rows)

    def test_it_measures_every_command_on_tiny_data(self):
        with tempfile.TemporaryDirectory() as results:
            run_tool("end_to_end.py", results, "--rows", "500")
            written = read_results(self, results, "end-to-end-quick", "Every command")
            phases = written["rounds"][0]["phases"]
            self.assertEqual(list(phases), ["synth", "convert", "train", "eval", "predict", "train from text"])
            self.assertTrue(all(phase["seconds"] > 0 and phase["peak_mb"] > 0 for phase in phases.values()))
            self.assertGreater(phases["convert"]["read_mb"], phases["convert"]["written_mb"])
            self.assertTrue(written["rounds"][0]["step"]["seconds_with_loading"])


class Sweep(unittest.TestCase):
    def make(self, *axes):
        return sweep.Sweep(SimpleNamespace(build=BUILD, device="cpu", quick=True, axis=list(axes)))

    def test_runs_on_a_slow_or_busy_machine_do_not_count(self):
        made = sweep.summarise([step_run(1.0), step_run(9.0, taken=0.06), step_run(9.0, peaks=(100.0, 84.0))], 100.0)
        self.assertEqual((made["kept"], made["cost"], made["peak_share"]), (1, 1e-3, 0.5))

    def test_a_point_of_several_axes_is_measured_once(self):
        made = self.make("ids of an impression", "rows, Adam")
        self.assertEqual(len(made.runs), 3)  # both have the base
        for runs in made.runs.values():
            runs.append(step_run(1.0))
        axes = sweep.summaries(made)
        self.assertIs(axes["ids of an impression"]["13"], axes["rows, Adam"]["1 000 000"])

    def test_peaks_are_compared_among_runs_with_as_many_threads(self):
        made = self.make("threads")
        for point, runs in made.runs.items():
            threads = dict(point)["threads"]
            runs.append(step_run(1.0, threads, peaks=(50.0 * threads, 50.0 * threads)))
        self.assertEqual({point["kept"] for point in sweep.summaries(made)["threads"].values()}, {1})

    def test_what_does_not_fit_is_reported_and_what_fails_is_raised(self):
        made = self.make("rows, Adam")

        def measure(point):
            if dict(point)["rows"] < 1_000_000:
                raise machine.Failed("esmm_bench_step", 4, "needs 99 GB")
            return step_run(1.0)
        made.measure = measure
        made.round(0)
        report = sweep.report(sweep.summaries(made), {"date": "today"}, "figure.svg")
        self.assertIn("100 000: does not fit (needs 99 GB)", report)
        self.assertIn("| 1 000 000 | 1 | 1.0 (1.0–1.0) | 1.00 |", report)

        def fail(point):
            raise machine.Failed("esmm_bench_step", 1, "broken")
        made.measure = fail
        made.runs = {point: [] for point in made.runs}
        made.too_large = {}
        with self.assertRaises(machine.Failed):
            made.round(0)

    def test_later_rounds_leave_out_what_takes_long(self):
        made = self.make("threads")
        for wall, again in ((1.0, 2), (60.0, 1)):
            made.measure = lambda point, wall=wall: step_run(1.0) | {"wall_seconds": wall}
            made.runs = {point: [] for point in made.runs}
            made.round(float("inf"))
            made.round(float("inf"))
            self.assertEqual({len(runs) for runs in made.runs.values()}, {again})

    def test_the_vocabulary_is_held_against_its_target(self):
        for cost, verdict in ((1.2, "within"), (1.4, "**beyond**")):
            points = {"1 000 000": {"cost": 1.0}, "64 000 000": {"cost": cost}}
            said, = sweep.vocabulary({"rows, Adam": points, "threads": {"1": {"cost": 1.0}}})
            self.assertIn(f"costs {cost:.2f} of one with 1 000 000, {verdict}", said)

    def test_every_axis_names_options_that_the_step_has(self):
        for axis, points in sweep.AXES.items():
            for change in points.values():
                self.assertLessEqual(set(change), set(sweep.BASE), axis)
        self.assertLessEqual(set(sweep.SHAPE), set(sweep.BASE))

    def test_it_measures_an_axis_in_small(self):
        with tempfile.TemporaryDirectory() as results:
            run_tool("sweep.py", results, "--axis", "threads")
            written = read_results(self, results, "sweep-quick", "## Threads")
            self.assertEqual([run["point"]["threads"] for run in written["runs"]][0], 1)
            for run in written["runs"]:
                self.assertEqual(set(run["stage_seconds"]), STAGES)
                self.assertEqual((run["impressions"], run["seconds_with_loading"]), (10_000, []))
                self.assertGreater(run["making_seconds"], 0)
                self.assertAlmostEqual(run["ids_per_impression"], 616 + 13, delta=1)


class Both(unittest.TestCase):
    def test_a_program_that_is_not_built_is_one_line(self):
        with tempfile.TemporaryDirectory() as empty:
            for tool in ("end_to_end.py", "sweep.py"):
                done = subprocess.run([sys.executable, "-B", ROOT / "bench" / tool, "--quick", "--build", empty],
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
                self.assertIn("Build it", done.stderr)
                self.assertEqual(list(Path(empty).iterdir()), [])


def run_tool(tool, results, *flags):
    done = subprocess.run([sys.executable, "-B", ROOT / "bench" / tool, "--quick", "--build", BUILD, "--results", results, *flags],
                          capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)


def read_results(test, results, name, heading):
    """The JSON, after a look at what lies beside it."""
    files = sorted(Path(results).iterdir())
    test.assertEqual([file.suffix for file in files], [".json", ".md", ".svg"])
    test.assertTrue(all(file.stem.endswith(f"-cpu-{name}") for file in files), files)
    text = files[1].read_text()
    test.assertIn(heading, text)
    test.assertIn(f"]({files[2].name})", text)
    test.assertIn("</svg>", files[2].read_text())
    return json.loads(files[0].read_text())


if __name__ == "__main__":
    unittest.main(buffer=True)
