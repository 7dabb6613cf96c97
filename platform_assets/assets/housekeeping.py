"""What every asset that removes or rewrites something has in common."""

import dagster as dg


class Housekeeping(dg.Config):
    """What a person may choose for one pass: with `dry_run` it only tells what it would do."""

    dry_run: bool = False
