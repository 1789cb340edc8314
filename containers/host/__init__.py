"""What the machine's own system gives: processes, scratch folders, durable writes, memory."""
