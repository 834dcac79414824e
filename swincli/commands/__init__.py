"""The command line: one thin file a verb. Everything heavy is imported inside the verbs, so `--help` stays quick."""
