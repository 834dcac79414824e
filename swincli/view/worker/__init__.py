"""The worker's side: one process that owns the model and draws what the server asks for."""
