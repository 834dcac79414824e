"""What a device computes in hardware, and what of it a run uses, as functions of facts that a test can make up."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from swincli.errors import ResourceError

Capability = tuple[int, int]

AMPERE = (8, 0)  # first CUDA compute capability with bfloat16 and TF32 units
TURING = (7, 5)  # the oldest that PyTorch's builds for CUDA 13 know
CHOOSE = "Choose the build at https://pytorch.org/get-started/locally/."


@dataclass(frozen=True)
class DeviceFacts:
    """Facts about a device.

    Attributes:
        kind: cpu, cuda or mps.
        name: The maker's name; empty where it is not known.
        capability: CUDA compute capability; None elsewhere, and on AMD's GPUs.
        cpu_bf16: Whether a CPU has AMX or AVX-512 BF16.
        is_amd: Whether PyTorch was built for AMD's GPUs (ROCm), which are devices of the kind cuda too.
        architectures: What this PyTorch was built for, such as sm_90 and compute_90.
        cuda: Version of CUDA that PyTorch was built with; empty without.
    """

    kind: str
    name: str = ""
    capability: Capability | None = None
    cpu_bf16: bool = False
    is_amd: bool = False
    architectures: tuple[str, ...] = ()
    cuda: str = ""

    @property
    def has_bf16(self) -> bool:
        """Whether it computes bfloat16 products in hardware and training uses that (not on MPS)."""
        if self.kind == "cuda":
            return self.is_amd or self.has_tf32
        return self.kind == "cpu" and self.cpu_bf16

    @property
    def has_tf32(self) -> bool:
        """Whether it can round the factors of float32 products to TF32: NVIDIA's GPUs from capability 8.0 on."""
        return self.kind == "cuda" and self.capability is not None and self.capability >= AMPERE

    @property
    def title(self) -> str:
        """The device in words."""
        if self.capability is None:
            return self.name or self.kind
        return f"{self.name or self.kind} (compute capability {_dotted(self.capability)})"


def device_facts(device: torch.device) -> DeviceFacts:
    """The facts about a device of this machine."""
    if device.type == "cpu":
        return DeviceFacts("cpu", cpu_bf16=torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    if device.type != "cuda":
        return DeviceFacts(device.type)
    is_amd = torch.version.hip is not None
    return DeviceFacts(
        "cuda",
        name=torch.cuda.get_device_name(device),
        capability=None if is_amd else torch.cuda.get_device_capability(device),
        is_amd=is_amd,
        architectures=tuple(torch.cuda.get_arch_list()),
        cuda=torch.version.cuda or "",
    )


def uses_bf16(precision: str, facts: DeviceFacts) -> bool:
    """Whether `run.precision` means bfloat16 on a device.

    Args:
        precision: fp32; bf16; auto: where the device has units for it; gpu: the same, but on GPUs only.
        facts: The device.

    Raises:
        ResourceError: bf16 was asked for and the device does not support it. A CPU without units emulates it.
    """
    if precision == "bf16" and not facts.has_bf16 and facts.kind != "cpu":
        raise ResourceError(
            f"run.precision: bf16 is not supported on {facts.kind} here",
            "Set run.precision=fp32, or auto to choose by device.",
        )
    if precision == "gpu":
        return facts.has_bf16 and facts.kind != "cpu"
    return precision == "bf16" or (precision == "auto" and facts.has_bf16)


def uses_tf32(tf32: bool | str, facts: DeviceFacts) -> bool:
    """Whether `run.tf32` (true, false, or auto: where the device has units for it) has an effect on a device."""
    return bool(tf32) and facts.has_tf32


def describe_precision(precision: str, tf32: bool | str, facts: DeviceFacts) -> str:
    """The precision in which a run computes, in words.

    Raises:
        ResourceError: as `uses_bf16`.
    """
    bf16, rounded = uses_bf16(precision, facts), uses_tf32(tf32, facts)
    if bf16:
        other = "TF32" if rounded else "float32"
        return f"bfloat16 products; norms, losses, R1 and Adam in float32, with products of R1 in {other}"
    return "float32 with products rounded to TF32" if rounded else "float32"


def idle_units(precision: str, tf32: bool | str, facts: DeviceFacts) -> str:
    """A sentence about units of a GPU that a run does not use; empty if it uses bfloat16 or TF32, or has neither."""
    if facts.kind != "cuda" or precision == "bf16" or not facts.has_bf16:
        return ""
    if uses_bf16(precision, facts) or uses_tf32(tf32, facts):
        return ""
    units = "bf16 and TF32 units are" if facts.has_tf32 else "bf16 units are"
    return f"run.precision: {facts.title} computes in exact float32, so its {units} idle"


IDLE_HINT = "--set run.precision=gpu --set run.tf32=auto takes them; exact float32 is several times slower."


def build_mismatch(facts: DeviceFacts) -> tuple[str, str] | None:
    """Message and hint if this PyTorch has no code for an NVIDIA GPU, because it is too old or too new for the build.

    A build has machine code (sm_XY), which runs on the same major version from minor Y on, and code that the driver
    compiles (compute_XY), which runs on everything from XY on.
    """
    card = facts.capability
    if card is None or facts.kind != "cuda" or not facts.architectures:
        return None
    known = [each for each in map(_architecture, facts.architectures) if each is not None]
    if any(_runs(kind, version, card) for kind, version in known):
        return None
    built = ", ".join(sorted({_dotted(version) for _, version in known}, key=lambda text: [*map(int, text.split("."))]))
    message = f"{facts.title}: this PyTorch has no code for it; it was built with CUDA {facts.cuda} for {built}"
    if card < TURING:
        wheel = "cu126"
        why = "CUDA 13 ended with capability 7.5; builds with CUDA 12.6 know cards from 5.0 on"
    elif facts.cuda.startswith("13"):
        return message, f"pip install --upgrade torch  (newer releases know newer cards). {CHOOSE}"
    else:
        wheel = "cu130"
        why = "builds with CUDA 13 know the newer cards"
    return message, f"pip install torch --index-url https://download.pytorch.org/whl/{wheel}  ({why}). {CHOOSE}"


def _architecture(text: str) -> tuple[str, Capability] | None:
    """sm_90 -> ("sm", (9, 0)); sm_90a, which runs on 9.0 alone -> ("exact", (9, 0))."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", text)
    if match is None:
        return None
    kind, major, minor, only = match.groups()
    return ("exact" if only else kind), (int(major), int(minor))


def _runs(kind: str, built: Capability, card: Capability) -> bool:
    if kind == "exact":
        return built == card
    return built <= card and (kind == "compute" or built[0] == card[0])


def _dotted(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
