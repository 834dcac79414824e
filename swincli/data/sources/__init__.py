"""Where pictures come from: folders, archives, databases, arrays, lists of paths, and artwork that comes along.

Every kind becomes a `Source`: entries in the order of their names, each with a way to read its bytes. Nothing is ever
unpacked under a name that an archive asks for, and nothing that is read is executed.
"""

from swincli.data.sources.detect import open_source
from swincli.data.sources.naming import printable

__all__ = ["open_source", "printable"]
