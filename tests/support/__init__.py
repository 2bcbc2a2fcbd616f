"""What the tests on a real API server and on a real cluster have in common."""
