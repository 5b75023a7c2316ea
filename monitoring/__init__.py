"""Are the calculators right, right now? Shadow checks, metrics, alerts and rollouts have their place here."""
