"""Every place where data rests and how to open it. Knows no Dagster, FastAPI or Spark."""
