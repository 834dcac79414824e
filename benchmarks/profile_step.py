"""Time by kind of operation, from PyTorch's profiler, as a Markdown table.

    python benchmarks/profile_step.py [--only NAME ...] [--repeats 1] [--operations 0] [--tiny]

A share is the self CPU time of an operation relative to the sum over all operations; time in Python is not included.
--operations N also lists the N most expensive operations of each benchmark.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable

import torch
from measuring import Work
from timed_networks import generator_work, step_work
from torch.profiler import ProfilerActivity, profile
from works import make_case

from swincli.recipe.schema import ModelSection
from swincli.system import runtime

MAKE: dict[str, Callable[[ModelSection, int], Work]] = {
    "generator-256": generator_work,
    "generator-1024": generator_work,
    "step-64": step_work,
    "step-256": step_work,
}

KINDS: dict[str, str] = {
    "autograd's own": r"autograd::|^(?!.*::|optimizer)",  # its nodes, and autograd functions written in Python
    "optimizer": r"optimizer|_fused_adam|_foreach|clip_grad|lerp|linalg_vector_norm",
    "convolutions": r"conv",
    "attention kernels": r"scaled_dot_product|flash_attention",
    "matrix products": r"::(mm|addmm|bmm|baddbmm|matmul|linear|mv|addmv|dot|_?mkl|mkldnn_linear|einsum|inner)",
    "softmax": r"softmax",
    "activations": r"gelu|leaky_relu|softplus|relu",
    "normalisation": r"layer_norm|batch_norm|instance_norm|var|std|mean|rsqrt",
    "resizing": r"upsample|interpolate",
    "copies and layout": r"copy|clone|contiguous|::cat|stack|roll|permute|reshape|view|slice|select|index|gather"
    r"|embedding|pad|expand|transpose|::t$|split|chunk|unbind|narrow|flip|flatten|squeeze|as_strided|masked_fill|repeat"
    r"|::to$|reorder|resolve",
    "memory": r"empty|zero|fill|ones|resize_|detach|alias|set_",
    "additions and products": r"add|sub|mul|div|sum|neg|square|sqrt|pow|exp|erf",
}
"""Pattern of operation names for each kind; the first match counts."""

OTHER = "other"


def kind_of(operation: str) -> str:
    """Kind of an operation from its name in the profiler."""
    name = operation.lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHER)


def own_times(work: Work, repeats: int) -> Counter[str]:
    """Self CPU time of every operation in microseconds, over `repeats` calls after one warm-up call."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(repeats):
            work()
    times: Counter[str] = Counter()
    for event in profiler.key_averages():
        times[event.key] += event.self_cpu_time_total
    return times


def by_kind(times: Counter[str]) -> Counter[str]:
    """Sums of operation times by kind."""
    kinds: Counter[str] = Counter()
    for operation, spent in times.items():
        kinds[kind_of(operation)] += spent
    return kinds


def table(columns: dict[str, Counter[str]]) -> str:
    """Shares in percent as a Markdown table, largest rows first, one column per benchmark."""
    share = {
        name: {row: 100 * spent / times.total() for row, spent in times.items()} for name, times in columns.items()
    }
    rows = sorted({row for shares in share.values() for row in shares}, key=lambda row: -weight(share, row))
    lines = [["time in", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[row, *(f"{shares.get(row, 0.0):.1f} %" for shares in share.values())] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def weight(share: dict[str, dict[str, float]], row: str) -> float:
    """Sort key of a row: the sum of its shares."""
    return sum(shares.get(row, 0.0) for shares in share.values())


def main() -> None:
    """Profile the benchmarks one by one and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MAKE, default=list(MAKE), metavar="NAME", help=", ".join(MAKE))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--operations", type=int, default=0, help="list the N most expensive operations")
    parser.add_argument("--tiny", action="store_true", help="use tiny networks, to test the script")
    arguments = parser.parse_args()
    runtime.configure()
    kinds, largest = {}, {}
    for name in arguments.only:
        case = make_case(name, arguments.repeats, tiny=arguments.tiny)
        times = own_times(MAKE[name](case.config, case.batch), arguments.repeats)
        kinds[name], largest[name] = by_kind(times), times
    sys.stdout.write(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}\n\n{table(kinds)}")
    for name, times in largest.items() if arguments.operations else ():
        sys.stdout.write(f"\n{name}\n\n| operation | kind | share |\n| --- | --- | ---: |\n")
        for operation, spent in times.most_common(arguments.operations):
            sys.stdout.write(f"| {operation} | {kind_of(operation)} | {100 * spent / times.total():.1f} % |\n")


if __name__ == "__main__":
    main()
