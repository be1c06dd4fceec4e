"""Programs that show how the portal is used. None of them is needed to run it."""
