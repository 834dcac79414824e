"""Sending a folder to a hub with the package huggingface_hub: one commit, so nothing arrives by half."""

from __future__ import annotations

from pathlib import Path

from swincli.model.files.hub import HUB_PREFIX, endpoint, explain_hub_error, open_package


def check_push(repo: str) -> None:
    """Check, before any work is done, that the package and a token are there.

    Raises:
        ResourceError: the package is not installed.
        CheckpointError: there is no token, or the hub does not know it.
    """
    package = open_package(f"--push {repo}")
    try:
        package.HfApi(endpoint=endpoint()).whoami()
    except Exception as error:  # the package raises its own, its HTTP client's and the system's
        raise explain_hub_error(error, f"--push {repo}") from error


def push_folder(folder: Path, repo: str, *, private: bool) -> str:
    """Create the model on the hub if it is new, and send all files of a folder.

    Returns:
        The address of its page.

    Raises:
        CheckpointError: the hub refuses it.
        ResourceError: the hub cannot be reached.
    """
    package = open_package(f"--push {repo}")
    api = package.HfApi(endpoint=endpoint())
    try:
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Written by swincli card")
    except Exception as error:
        raise explain_hub_error(error, f"{HUB_PREFIX}{repo}") from error
    return str(url)
