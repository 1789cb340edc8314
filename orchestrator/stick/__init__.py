"""The image onto a stick: whose disk it is, what lies on it, writing it and reading it back."""
