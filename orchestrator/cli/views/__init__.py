"""What the commands do, and what they show of it: one module a command, or a pair of them."""
