"""What mixes the positions of a map in a block of G: `registry` has the table."""
