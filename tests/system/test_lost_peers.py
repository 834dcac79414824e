"""Errors of collectives: a lost peer is told from NCCL's own troubles, and the original words are kept."""

from __future__ import annotations

import socket

import pytest

from swincli.errors import ResourceError
from swincli.system.distributed import Processes, explain_lost_peer, own_name_hint

SYSTEM = """NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error, NCCL version 2.27.5
ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.
Last error:
Bootstrap : no socket interface found, network eth9 not found"""
REMOTE = """NCCL error in: NCCLUtils.cpp:94, remote process exited or there was a network error
ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.
Last error:
socketProgress: Connection closed by remote peer host<1234>"""
GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1234"


def explained(text: str, world_size: int = 2) -> ResourceError:
    with pytest.raises(ResourceError) as caught:
        explain_lost_peer(RuntimeError(text), Processes(1, world_size))
    return caught.value


def test_nccls_own_troubles_are_told_in_its_words() -> None:
    error = explained(SYSTEM)
    assert "another process" not in error.message + str(error.hint)
    assert "unhandled system error" in error.message
    assert "network eth9 not found" in error.message
    assert "NCCL_SOCKET_IFNAME" in str(error.hint)


@pytest.mark.parametrize("text", [REMOTE, GLOO])
def test_a_lost_peer_is_one_and_the_words_are_kept(text: str) -> None:
    error = explained(text)
    assert error.message.startswith("rank 1: another process has stopped: ")
    assert text.splitlines()[0] in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.1.1", "means 127.0.1.1 here, which other machines cannot reach"),
        (None, "cannot resolve its own name"),
        ("10.0.0.7", None),
    ],
)
def test_a_name_that_only_this_machine_can_reach_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str | None, words: str | None
) -> None:
    def resolve(_: str) -> str:
        if address is None:
            raise socket.gaierror
        return address

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    assert (words is None) == (own_name_hint() == "")
    for local, expected in (("1", words), ("2", None)):  # two machines; one machine
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
        hint = str(explained(GLOO).hint)
        assert ("--local-addr" in hint) == (expected is not None)
        assert (expected or "") in hint


@pytest.mark.parametrize(("text", "world_size"), [(SYSTEM, 1), ("mat1 and mat2 differ", 2), ("", 2)])
def test_other_errors_stay(text: str, world_size: int) -> None:
    explain_lost_peer(RuntimeError(text), Processes(0, world_size))
