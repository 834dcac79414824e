"""`is_hidden`: hidden files, and those of operating systems and network drives, which are nobody's pictures."""

from __future__ import annotations

# Of Windows, macOS, Linux's ext file systems, and the network drives of Synology (@ea.., #..), QNAP and NetApp
_SYSTEM_FILES = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "__macosx", "icon\r",
    "lost+found", "@eadir", "#recycle", "#snapshot", "@recycle", "~snapshot",
}  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or belongs to the operating system."""
    return (name.startswith(".") and name != "..") or name.lower() in _SYSTEM_FILES
