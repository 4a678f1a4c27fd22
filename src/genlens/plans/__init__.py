"""Further images that an analysis asks a plan for, as extras of `genlens.plan.make_plan`."""
