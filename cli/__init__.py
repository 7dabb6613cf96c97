"""The `tidemark` command, one module per group of commands; imports of ours are lazy."""
