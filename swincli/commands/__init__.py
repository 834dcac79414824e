"""The command line: one folder or file per command.

A request (a dataclass of options) and `run(request, ...) -> Result` make a command. `typer_command` turns them into
Typer commands, `options` holds what several requests share, and `app` puts the commands together. Heavy packages are
imported inside functions, so that `--help` is fast.
"""
