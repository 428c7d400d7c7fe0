#!/usr/bin/env python3
"""Applies one mutation to each CUDA kernel in turn and shows that the tests on simt catch it.

    tests/mutations.py [NAME ...]     all, or those whose kernel or file contains a NAME

Works in a copy of the sources under build/mutations, builds kernels_tests and kernels_race_tests there, and expects at
least one of them to fail. Exits 1 if a mutation survives, or no longer applies.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutations"
# (file, kernel, what, text, replacement, tests): the first occurrence of `text` behind `kernel` is replaced.
MUTATIONS = [
    ("sorted_ids.cu", "list_occurrences", "the first id of every bag is left out", "bags.offsets[bag] + lane;", "bags.offsets[bag] + lane + 1;", "*Embedding*"),
    ("sorted_ids.cu", "mark_heads", "equal keys begin segments", "keys[i] != keys[i - 1]", "keys[i] >= keys[i - 1]", "*Embedding*"),
    ("sorted_ids.cu", "write_segments", "the last segment ends one early", "static_cast<std::uint32_t>(i + 1)", "static_cast<std::uint32_t>(i)", "*Embedding*"),
    ("embedding.cu", "pool_bags", "bags of exactly one chunk are dropped", "if (end - begin > kChunkIds) continue;", "if (end - begin >= kChunkIds) continue;", "*Embedding*"),
    ("embedding.cu", "pool_long_bag", "no barrier before the chunks are added", "__syncthreads();", "", "*Embedding*"),
    ("embedding.cu", "sum_hot_pieces", "the second hot row of a chunk is left out", "if (t != s && segments.hot(t))", "if (t == s && segments.hot(t))", "*Embedding*"),
    ("embedding.cu", "sum_hot_rows", "the last piece of a hot row is left out", "- c + 1;", "- c;", "*Embedding*"),
    ("embedding.cu", "sum_hot_rows", "no barrier before the groups' sums are added", "__syncthreads();", "", "*Embedding*"),
    ("embedding.cu", "reduce_segments", "the output's stride is one too large", "out + s * gradients.dim + d", "out + s * (gradients.dim + 1) + d", "*Embedding*"),
    ("embedding.cu", "reduce_and_update_segments", "the first segment is not updated", "s = group.in_grid();", "s = group.in_grid() + 1;", "*Embedding*"),
    ("embedding.cu", "update_distinct_rows", "the state of the wrong row is used", "arena.state.row(rows[i])", "arena.state.row(i)", "*Embedding*"),
    ("optimizer.cu", "update_elements", "the last element is left out", "i < count;", "i < count - 1;", "*Optimizer*"),
    ("optimizer.cu", "fill_state", "the boundary between slots is off by one", "column < first", "column <= first", "*Optimizer*"),
    ("optimizer.cu", "sum_squares", "chunks overlap by one element", "first + kNormChunk : count", "first + kNormChunk + 1 : count", "*Norm*:*Optimizer*"),
    ("loss.cu", "two_task_loss_rows", "one row of padding counts", "r < c.impressions", "r <= c.impressions", "*Loss*"),
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


def behind(text, kernel, old):
    start = re.search(r"\b%s\(" % kernel, text)
    at = -1 if start is None else text.find(old, start.start())
    if at < 0:
        sys.exit(f"{kernel}: does not contain {old!r} any more")
    return at


def run(*command, **more):
    return subprocess.run([str(c) for c in command], cwd=COPY, capture_output=True, text=True, **more)


def build():
    result = run("ninja", "-C", "build", "kernels_tests", "kernels_race_tests")
    return result.returncode == 0, result.stdout


def caught_by(tests):
    tests = ":".join(t + "simt*" for t in tests.split(":"))
    for program in ("kernels_tests", "kernels_race_tests"):
        try:
            result = run(f"build/tests/{program}", f"--gtest_filter={tests}", "--gtest_brief=1", timeout=600)
        except subprocess.TimeoutExpired:
            return f"{program}: runs forever"
        if result.returncode != 0:
            failed = re.findall(r"\[  FAILED  \] (\S+),", result.stdout)
            return f"{program}: {failed[0] if failed else 'crashed'}"
        if " 0 tests" in result.stdout:
            sys.exit(f"{tests}: no such tests")
    return None


def main():
    wanted = sys.argv[1:]
    COPY.mkdir(parents=True, exist_ok=True)
    for folder in ("kernels", "io", "engine", "tests", "cmake"):
        shutil.copytree(ROOT / folder, COPY / folder, dirs_exist_ok=True)
    for name in ("CMakeLists.txt", "CMakePresets.json", ".clang-format"):
        shutil.copy2(ROOT / name, COPY / name)
    configured = run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DESMM_CUDA=OFF", "-DCMAKE_BUILD_TYPE=Release")
    built, output = build()
    if configured.returncode != 0 or not built:
        sys.exit("the unchanged sources do not build:\n" + configured.stderr + output[-2000:])
    survivors = 0
    for file, kernel, what, old, new, tests in MUTATIONS:
        if wanted and not any(w in kernel or w in file for w in wanted):
            continue
        path = COPY / "kernels" / "cuda" / file
        text = path.read_text()
        at = behind(text, kernel, old)
        path.write_text(text[:at] + new + text[at + len(old):])
        built, output = build()
        verdict = caught_by(tests) if built else "does not build: " + output[-500:]
        path.write_text(text)
        if verdict is None or not built:
            survivors += 1
        print(f"{'caught' if built and verdict else 'SURVIVED'}  {kernel} ({file}): {what} -- {verdict}", flush=True)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
