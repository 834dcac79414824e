"""One picture: decoding, colour, crop and resize, hashes, and why a picture is rejected."""
