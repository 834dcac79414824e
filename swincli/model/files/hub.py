"""Models of a hub: `hf:OWNER/NAME[@REVISION][/FILE]`, downloaded by the package huggingface_hub into its own cache.

Only safetensors are taken by default, which hold no code. A pickle is downloaded only if its name is given; even then
no code in it is run.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swincli.errors import CheckpointError, ResourceError, SwincliError, UsageError
from swincli.system.packages import missing_package

HUB_PREFIX: Final = "hf:"
MODEL_FILE: Final = "model.safetensors"
"""Name of the model in a hub folder."""
ENDPOINT: Final = "HF_ENDPOINT"
"""Environment variable with the address of another hub, such as a mirror."""

_FORM = re.compile(r"hf:(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/\s]+))?(/(?P<file>[^\s]+))?")
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")
_EXAMPLE = "For example hf:OWNER/NAME, hf:OWNER/NAME@v1 or hf:OWNER/NAME/FILE.safetensors"


@dataclass(frozen=True)
class HubModel:
    """A model on a hub: its repository, and where given a revision and a file."""

    repo: str
    revision: str | None
    file: str | None


ERRORS: Final[dict[str, tuple[str, str]]] = {
    "GatedRepoError": ("the model is gated", "Accept its terms on its page; then `hf auth login`, or set HF_TOKEN."),
    "RepositoryNotFoundError": (
        "the hub has no such model, or it is private",
        "Check the name. A private one needs your token: `hf auth login`, or set HF_TOKEN.",
    ),
    "RevisionNotFoundError": ("the model has no such revision", "Its page lists branches, tags and commits."),
    "LocalTokenNotFoundError": ("there is no token", "`hf auth login` stores one, or set HF_TOKEN."),
    "LocalEntryNotFoundError": (
        "the hub cannot be reached, and the file is not in the cache",
        "Is there a network? HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 keeps off all of them.",
    ),
    "OfflineModeIsEnabled": ("HF_HUB_OFFLINE is set, and the file is not in the cache", "Unset it, or give a file."),
    "EntryNotFoundError": ("the model has no such file", "Its page lists its files."),
    "HFValidationError": ("not the name of a model on a hub", _EXAMPLE),
    "BadRequestError": ("the hub refused what was sent", "Its answer is above; --debug shows all of it."),
    "TransportError": ("the hub cannot be reached", "Is there a network? HF_ENDPOINT names another hub."),
    "ConnectionError": ("the hub cannot be reached", "Is there a network? HF_ENDPOINT names another hub."),
}
"""What the package's errors mean, by the name of their class: their modules differ from version to version."""

_STATUS: Final[dict[int, tuple[str, str]]] = {
    401: ("the hub does not know you", "`hf auth login` stores a token, or set HF_TOKEN."),
    403: ("your token may not do that", "Make one that may write, for this name, in the settings of your account."),
}


def parse_hub_model(text: str) -> HubModel:
    """Parse `hf:OWNER/NAME[@REVISION][/FILE]`.

    Raises:
        UsageError: the text has another form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{text}: not a model on a hub", _EXAMPLE)
    return HubModel(match["repo"], match["revision"], match["file"])


def find_hub_model(text: str) -> Path:
    """The file of `hf:OWNER/NAME[@REVISION][/FILE]`, downloaded or from the cache.

    Raises:
        UsageError: the text has another form.
        CheckpointError: the hub has no such model, revision or file, it holds only pickles, or it wants a token.
        ResourceError: huggingface_hub is not installed, or the hub cannot be reached.
    """
    model, package = parse_hub_model(text), open_package(text)
    if model.file is not None:
        return _download(package, text, model, model.file)
    try:
        return _download(package, text, model, MODEL_FILE)
    except CheckpointError as error:
        if "no such file" not in error.message:
            raise
    return _download(package, text, model, _choose(package, text, model))


def open_package(text: str) -> Any:
    """The package huggingface_hub.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        package = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise missing_package(text, "huggingface_hub", "hub") from error
    if not sys.stderr.isatty():
        importlib.import_module("huggingface_hub.utils").disable_progress_bars()
    return package


def endpoint() -> str | None:
    """The address of another hub, if the environment names one."""
    return os.environ.get(ENDPOINT) or None


def explain_hub_error(error: Exception, text: str) -> SwincliError:
    """The sentence for an error of the package.

    Args:
        error: What it raised.
        text: What was asked for; the message starts with it.
    """
    status = getattr(getattr(error, "response", None), "status_code", None)
    names = [kind.__name__ for kind in type(error).__mro__]
    found = next((ERRORS[name] for name in names if name in ERRORS), None)
    if status in _STATUS and names[0] not in ERRORS:
        found = _STATUS[status]
    if found is None:
        said = f"the hub answered with {status}" if status else (str(error).splitlines() or [names[0]])[0]
        found = (said, "Try again later; --debug shows more.")
    unreached = "cannot be reached" in found[0] or names[0] == "OfflineModeIsEnabled"
    return (ResourceError if unreached else CheckpointError)(f"{text}: {found[0]}", found[1])


def _download(package: Any, text: str, model: HubModel, file: str) -> Path:
    try:
        return Path(package.hf_hub_download(model.repo, file, revision=model.revision, endpoint=endpoint()))
    except Exception as error:  # the package raises its own, its HTTP client's and the system's
        raise explain_hub_error(error, text) from error


def _choose(package: Any, text: str, model: HubModel) -> str:
    """The model among the files of a repository that has no `MODEL_FILE`: the only one, or that with most images."""
    try:
        files: list[str] = package.HfApi(endpoint=endpoint()).list_repo_files(model.repo, revision=model.revision)
    except Exception as error:
        raise explain_hub_error(error, text) from error
    models = sorted(name for name in files if name.endswith(".safetensors"))
    numbered = [name for name in models if re.fullmatch(r"model-\d+\.safetensors", name)]
    if len(models) == 1 or numbered:
        return (numbered or models)[-1]
    pickles = [name for name in files if name.endswith(_PICKLES)]
    if models:
        raise CheckpointError(
            f"{text}: has {len(models)} models: {', '.join(models[:5])}", f"Name one: {text}/{models[0]}"
        )
    if pickles:
        raise CheckpointError(
            f"{text}: has no .safetensors file, only pickles, which are not taken unasked: {', '.join(pickles[:5])}",
            f"Name one if you trust it: {text}/{pickles[0]}",
        )
    raise CheckpointError(f"{text}: has no model, which is a .safetensors file")
