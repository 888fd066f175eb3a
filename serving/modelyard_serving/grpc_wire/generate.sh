#!/bin/sh
# Writes *_pb2.py and *_pb2.pyi anew from the .proto files.  The generator must not be newer than the
# protobuf runtime of requirements/serving.txt; this one writes code for protobuf 6.31 and later.
set -eu
cd "$(dirname "$0")/../.."
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet 'grpcio-tools==1.78.2'
"$venv/bin/python" -m grpc_tools.protoc -I . --python_out=. --pyi_out=. \
  modelyard_serving/grpc_wire/inference.proto modelyard_serving/grpc_wire/health.proto
for file in modelyard_serving/grpc_wire/*_pb2.py modelyard_serving/grpc_wire/*_pb2.pyi; do
  { printf '# mypy: ignore-errors\n'; cat "$file"; } >"$file.new"
  mv "$file.new" "$file"
done
