"""Feast's protobuf messages. Import it inside functions: it loads Feast."""

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value, ValueType

__all__ = ["EntityKey", "FieldStatus", "Value", "ValueType"]
