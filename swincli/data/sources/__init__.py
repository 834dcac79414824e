"""Sources of pictures: folders, archives, databases, arrays, lists of paths, and built-in emoji.

Every kind becomes a `Source`: entries in the order of their names, each with a function that reads its bytes. No
file is unpacked under a name from an archive, and no content is executed.
"""

from swincli.data.sources.detect import open_source
from swincli.data.sources.naming import printable

__all__ = ["open_source", "printable"]
