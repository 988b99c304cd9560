"""Typed facades over documents: products, stock and metrics. Pure: they see root maps, never a CRDT or a file."""
