"""The Python face: what `import swincli` offers, on the same requests and runs as the command line."""
