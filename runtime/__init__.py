"""What every long-running process of ours needs and no domain has: logs, names of the environment, connections. Imports nothing of ours."""
