"""The analytics API: answers from one published snapshot of the lake, over REST. Never writes, and knows no Dagster or Spark."""
