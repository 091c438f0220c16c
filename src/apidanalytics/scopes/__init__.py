"""Who a scope, an org and env, or an API key is: look-ups for the workers, sources for the agent."""
