"""The server's side: requests of the browser, the queue before the worker, and run folders."""
