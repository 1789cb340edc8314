"""Interfaces of the machine's own system: processes, scratch folders, durable writes, memory."""
