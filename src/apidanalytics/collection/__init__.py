"""The endpoint that hands out signed URLs: embedded in the agent, or a service of its own; a module for each store."""
