#!/usr/bin/env python3
"""Applies one mutation to each CUDA kernel in turn and shows that the tests on simt catch it.

    cmake --preset release && cmake --build --preset release
    tests/mutations.py [NAME ...]     all, or those whose kernel or file contains a NAME

Compiles the mutated kernel beside the release build, links kernels_tests (and, where they pass, kernels_race_tests) with
it, and expects a failure. Exits 1 if a mutation survives, 2 if it no longer applies.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
MUTANT = ROOT / "build" / "mutations"
SLOW = "*FusedEqualsGradient*:*FiniteDifferences*:*HundredsOfThousands*"
# (file, kernel, what, text, replacement, tests): the first occurrence of `text` behind `kernel` is replaced.
MUTATIONS = [
    ("sorted_ids.cu", "list_occurrences", "the first id of every bag is left out", "bags.offsets[bag] + lane;", "bags.offsets[bag] + lane + 1;", "*Embedding*"),
    ("sorted_ids.cu", "mark_heads", "equal keys begin segments", "keys[i] != keys[i - 1]", "keys[i] >= keys[i - 1]", "*Embedding*"),
    ("sorted_ids.cu", "write_segments", "the last segment ends one early", "static_cast<std::uint32_t>(i + 1)", "static_cast<std::uint32_t>(i)", "*Embedding*"),
    ("gather.cu", "gather_rows", "the last id of every row is left out", "i < end;", "i + 1 < end;", "*Gather*"),
    ("embedding.cu", "pool_bags", "bags of exactly one chunk are dropped", "if (end - begin > kChunkIds) continue;", "if (end - begin >= kChunkIds) continue;", "*Embedding*"),
    ("embedding.cu", "pool_long_bag", "no barrier before the chunks are added", "__syncthreads();", "", "*Embedding*"),
    ("embedding.cu", "sum_hot_pieces", "the second hot row of a chunk is left out", "if (t != s && segments.hot(t))", "if (t == s && segments.hot(t))", "*Embedding*"),
    ("embedding.cu", "sum_hot_rows", "the last piece of a hot row is left out", "- c + 1;", "- c;", "*Embedding*"),
    ("embedding.cu", "sum_hot_rows", "no barrier before the groups' sums are added", "__syncthreads();", "", "*Embedding*"),
    ("embedding.cu", "reduce_segments", "the output's stride is one too large", "out + s * gradients.dim + d", "out + s * (gradients.dim + 1) + d", "*Embedding*"),
    ("embedding.cu", "reduce_and_update_segments", "the first segment is not updated", "s = group.in_grid();", "s = group.in_grid() + 1;", "*FusedEqualsGradient*"),
    ("embedding.cu", "update_distinct_rows", "the state of the wrong row is used", "arena.state.row(rows[i])", "arena.state.row(i)", "*Embedding*:*Optimizer*"),
    ("optimizer.cu", "update_elements", "the last element is left out", "i < count;", "i < count - 1;", "*Optimizer*"),
    ("optimizer.cu", "fill_state", "the boundary between slots is off by one", "column < first", "column <= first", "*Optimizer*"),
    ("optimizer.cu", "sum_squares", "chunks overlap by one element", "first + kNormChunk : count", "first + kNormChunk + 1 : count", "*Norm*:*Optimizer*"),
    ("optimizer.cu", "sum_squares", "row gradients of an earlier batch count", "std::int64_t{*rows}", "values.rows + 0 * std::int64_t{*rows}", "*Clipping*"),
    ("optimizer.cu", "add_squares", "the first chunk's sum is left out", "i = threadIdx.x;", "i = threadIdx.x + 1;", "*Clipping*"),
    ("optimizer.cu", "flag_nonfinite", "squares beyond the range of floats pass", "is_finite(*losses, total)", "is_finite(*losses, 1e-9 * total)", "*CheckFinite*"),
    ("optimizer.cu", "update_elements", "a skipped step moves the towers", "if (step.skipped()) return;", "", "*CheckFinite*"),
    ("embedding.cu", "reduce_and_update_segments", "a skipped step moves the tables", "if (step.skipped()) return;", "", "*CheckFinite*"),
    ("embedding.cu", "update_distinct_rows", "a skipped step moves the tables", "if (step.skipped()) return;", "", "*CheckFinite*"),
    ("loss.cu", "two_task_loss_rows", "one row of padding counts", "r < c.impressions", "r <= c.impressions", "*Loss*"),
    ("loss.cu", "weigh_rows", "rows draw with their neighbour's number", "conversions[r] != 0, r)", "conversions[r] != 0, r + 1)", "*Loss*"),
    ("loss.cu", "add_weights", "the first block's sum is left out", "b = threadIdx.x;", "b = threadIdx.x + 1;", "*Loss*"),
    ("separate_towers.cu", "zero_unread_inputs", "the towers' boundary is one unit early", "unit / width", "(unit + 1) / width", "*SeparateTowers*"),
    ("loss.cu", "mean_losses", "the first block's sum is left out", "b = threadIdx.x;", "b = threadIdx.x + 1;", "*Loss*"),
    ("metrics.cu", "key_scores", "negative scores order as positive ones", "sort_key(scores[i])", "sort_key(fabsf(scores[i]))", "*Auc*"),
    ("metrics.cu", "score_task", "impressions without a click count for pCVR", "task != Task::cvr || click", "task != Task::cvr || r >= 0", "*Task*"),
    ("metrics.cu", "add_task_sums", "blocks are counted twice", "b += blockDim.x", "b += blockDim.x / 2", "*Task*"),
    ("metrics.cu", "mark_negatives", "positives are marked", "labels[i] == kNegative", "labels[i] == kPositive", "*Auc*"),
    ("metrics.cu", "count_pairs", "ties count as won", "keys[i], false", "keys[i], true", "*Auc*"),
    ("reduce.cuh", "block_sum", "no barrier between the halves", "    __syncthreads();\n", "", "*Loss*"),
    ("cuda_backend.cu", "copy_elements", "the row's stride is the other matrix's", "from(i / from.cols, i % from.cols)", "from.data[i / from.cols * to.stride + i % from.cols]", "*Copy*"),
    ("tower_sums.cu", "sum_tiles_kernel", "no barrier before the slices are added", "__syncthreads();", "", "*Tower*"),
    ("tower_sums.cu", "find_users_kernel", "the common row is the next one's", "common_rows, r);", "common_rows, r + 1);", "*Tower*"),
    ("tower_sums.cu", "join_users_kernel", "a group's last tile is left out", "tile <= last;", "tile < last;", "*Tower*"),
    ("tower_sums.cu", "pack_kernel", "the last column is left out", "column + k < m.columns", "column + k + 1 < m.columns", "*Tower*"),
    ("tower_chain_units.cuh", "forward_units", "dropout's mask is the next row's", "at.row, at.tower, at.group", "at.row + 1, at.tower, at.group", "*Tower*"),
    ("tower_chain_units.cuh", "forward_logits", "the last unit is left out", "j < width;", "j < width - 1;", "*Tower*"),
    ("tower_chain_units.cuh", "flush_user", "groups on a tile's edge begin in the tile before", ">= at.row * kTileRows", "> at.row * kTileRows", "*Tower*"),
    ("tower_fused_forward.cu", "fused_forward_kernel", "no barrier before the output layer", "__syncthreads();", "", "*Tower*"),
    ("tower_fused_backward.cu", "fused_backward_kernel", "no barrier before users are added", "__syncthreads();", "", "*Tower*"),
    ("tower_fused_products.cu", "multiply_rows_kernel", "strips overlap", "% strips * kStrip", "% strips * (kStrip - 1)", "*Tower*"),
    ("tower_fused_products.cu", "weight_gradients_kernel", "all slices go to the first", "block.slice * size", "0 * size", "*Tower*"),
    ("tower_fused_products.cu", "add_slices_kernel", "the first slice is left out", "slice = 0;", "slice = 1;", "*Tower*"),
]


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def shell(command, **more):
    return subprocess.run(command, shell=True, cwd=BUILD, capture_output=True, text=True, **more)


def mutate(text, kernel, old, new):
    start = re.search(r"\b%s\(" % kernel, text)
    at = -1 if start is None else text.find(old, start.start())
    if at < 0:
        fail(f"{kernel}: does not contain {old!r} any more")
    return text[:at] + new + text[at + len(old):]


def sources_that_include(name):
    """The .cu files whose compilation reads kernels/cuda/<name>."""
    folder = ROOT / "kernels" / "cuda"
    reached, pending = set(), [name]
    while pending:
        header = pending.pop()
        for path in folder.iterdir():
            if path.name not in reached and f'"kernels/cuda/{header}"' in path.read_text():
                reached.add(path.name)
                pending.append(path.name)
    return [name] if name.endswith(".cu") else sorted(f for f in reached if f.endswith(".cu"))


class Program:
    """A test program of the release build that can be linked with mutated kernels."""

    def __init__(self, name, library):
        self.name = name
        commands = shell(f"ninja -t commands {name}").stdout.splitlines()
        self.link = next(c for c in commands if f"-o tests/{name}" in c)
        self.compile = {}
        for command in commands:
            found = re.search(r"-o (tests/simt/CMakeFiles/%s\.dir/\S*?(\w+\.cu)\.o) -c (\S+)" % library, command)
            if found:
                self.compile[found[2]] = (command, found[1], found[3])

    def build(self, sources):
        objects = []
        for source in sources:
            if source not in self.compile:
                continue
            command, output, path = self.compile[source]
            mutated = MUTANT / f"{self.name}_{source}.o"
            command = re.sub(r"-MD .*? -o ", "-o ", command)
            command = command.replace(f"-o {output}", f"-o {mutated}").replace(path, str(MUTANT / "kernels/cuda" / source))
            command = command.replace(f"-I{ROOT} ", f"-I{MUTANT} -I{ROOT} ", 1)
            result = shell(command)
            if result.returncode != 0:
                return "does not compile: " + (result.stdout + result.stderr)[-600:]
            objects.append(str(mutated))
        binary = MUTANT / self.name
        result = shell(self.link.replace(f"-o tests/{self.name}", f"{' '.join(objects)} -o {binary}"))
        return None if result.returncode == 0 else "does not link: " + (result.stdout + result.stderr)[-600:]

    def failure(self, tests):
        wanted = ":".join(t + "simt*" for t in tests.split(":"))
        slow = "" if tests in SLOW else f"-{SLOW}"
        try:
            result = subprocess.run([MUTANT / self.name, f"--gtest_filter={wanted}{slow}"],
                                    capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return "runs forever"
        if "Running 0 tests" in result.stdout:
            fail(f"{tests}: no such tests")
        failed = re.findall(r"\[  FAILED  \] (\S+?),", result.stdout)
        return None if result.returncode == 0 else failed[0] if failed else "crashes"


def main():
    programs = [Program("kernels_tests", "esmm_simt_kernels"),
                Program("kernels_race_tests", "esmm_simt_kernels_races")]
    survivors = applied = 0
    for file, kernel, what, old, new, tests in MUTATIONS:
        if sys.argv[1:] and not any(w in kernel or w in file for w in sys.argv[1:]):
            continue
        shutil.rmtree(MUTANT, ignore_errors=True)
        shutil.copytree(ROOT / "kernels", MUTANT / "kernels")
        path = MUTANT / "kernels" / "cuda" / file
        path.write_text(mutate(path.read_text(), kernel, old, new))
        applied += 1
        verdict = None
        for program in programs:
            problem = program.build(sources_that_include(file))
            if problem:
                fail(f"{kernel} ({file}): {what}: {problem}")
            verdict = program.failure(tests)
            if verdict:
                verdict = f"{program.name}: {verdict}"
                break
        survivors += verdict is None
        print(f"{'caught  ' if verdict else 'SURVIVED'}  {kernel} ({file}): {what} -- {verdict}", flush=True)
    print(f"{applied} mutations, {applied - survivors} caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
