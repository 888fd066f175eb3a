"""gRPC beside HTTP: the same core over an own HTTP/2 loop."""
