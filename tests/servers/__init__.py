"""Real servers and clients for the service tests, one a module; each ends with the process that started it."""
