"""The messages of gRPC, generated from the `.proto` files beside them by `generate.sh`."""
